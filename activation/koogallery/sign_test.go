package koogallery

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

func date(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(DateFormat, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

const open = "https://mkt.myhuaweicloud.com/api/mkp-openapi-public"

// The first two answers were published by others (the API signing guide's
// dummy key, and a Ruby client's specification); the rest were computed with
// the same rule for the license calls.
func TestSignKnownAnswers(t *testing.T) {
	ours := Credentials{"EXAMPLEACCESSKEYID01", "example-secret-key-for-test-vectors-only"}
	cases := []struct {
		name, method, url, date, body string
		headers                       map[string]string
		keys                          Credentials
		want                          string
	}{
		{
			name: "API signing guide", method: "GET", date: "20191115T033655Z",
			url:     "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
			headers: map[string]string{"Content-Type": "application/json"},
			keys:    Credentials{"QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"},
			want:    "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
		},
		{
			name: "stage header signed", method: "POST", date: "20240317T144237Z", url: open + "/global/v1/license/activate",
			headers: map[string]string{"x-stage": "RELEASE", "Content-Type": "application/json"},
			keys:    Credentials{"test", "123"},
			want:    "77595ad624b6e4e49990b8c4e84bf1c287457fca61069c4e60b9b6765b52053d",
		},
		{
			name: "activate v1", method: "POST", date: "20260102T030405Z", url: open + "/global/v1/license/activate", body: `{"license":"PLTEST0001"}`,
			keys: ours, want: "4e30cb13814435f0914fe603af5e7a11be9384e74a9a70aab27e59003cfd33da",
		},
		{
			name: "activate v2", method: "POST", date: "20260102T030405Z", url: open + "/global/v2/license/activate",
			body: `{"license_list":["PLTEST0001","PLTEST0002"],"real_effect_time":"20260102030405"}`,
			keys: ours, want: "37ad9dd6fca5a2ef12f760152b42dacfe8fca4ea5daa988f8371ac7301f57dd4",
		},
		{
			name: "heartbeat", method: "POST", date: "20260102T030405Z", url: open + "/global/v1/license/heartbeat", body: `{"license":"PLTEST0001"}`,
			keys: ours, want: "e649d64a8b381736d29849da53b3ad869b0be02ddc36c4814da928f4b2c7d343",
		},
		{
			name: "heartbeat on the other host", method: "POST", date: "20260102T030405Z",
			url: strings.Replace(open, ".com/", ".cn/", 1) + "/global/v1/license/heartbeat", body: `{"license":"PLTEST0001"}`,
			keys: ours, want: "cb77bcc22929588af0c1593c8a562265e273d3e9c89d836de833061587118d25",
		},
		{
			name: "usage", method: "POST", date: "20260102T030405Z", url: open + "/global/v2/license/software-usage-info",
			body: `{"usage_info":[{"license":"PLTEST0001","software_usage_Info":[{"id":"seat-001"}]}]}`,
			keys: ours, want: "df02d62c76dfc7b4ec591514ab19138e89a133c1cee5ccb9938ba4b553724adb",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			headers := c.headers
			if headers == nil {
				headers = map[string]string{"Content-Type": "application/json"}
			}
			got, err := Sign(c.keys, Request{Method: c.method, URL: parse(t, c.url), Headers: headers, Body: []byte(c.body), Date: date(t, c.date)})
			if err != nil {
				t.Fatal(err)
			}
			if got.Signature != c.want {
				t.Errorf("signature %s, want %s\n%s", got.Signature, c.want, got.CanonicalRequest)
			}
			if !strings.HasPrefix(got.Authorization, "SDK-HMAC-SHA256 Access="+c.keys.AccessKey+", SignedHeaders=content-type;host;x-sdk-date") {
				t.Errorf("authorization %s", got.Authorization)
			}
		})
	}
}

func TestSignCanonicalRequest(t *testing.T) {
	got, err := Sign(Credentials{"EXAMPLEACCESSKEYID01", "example-secret-key-for-test-vectors-only"}, Request{
		Method: "post", URL: parse(t, open+"/global/v1/license/activate"), Headers: map[string]string{"content-type": " application/json "},
		Body: []byte(`{"license":"PLTEST0001"}`), Date: date(t, "20260102T030405Z"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `POST
/api/mkp-openapi-public/global/v1/license/activate/

content-type:application/json
host:mkt.myhuaweicloud.com
x-sdk-date:20260102T030405Z

content-type;host;x-sdk-date
0dc02b17d18ece7fb6190cf80def126e84d36f50a7e46f25272e1925d6789757`
	if got.CanonicalRequest != want {
		t.Errorf("canonical request\n%s\nwant\n%s", got.CanonicalRequest, want)
	}
	if !strings.HasSuffix(got.StringToSign, "\n11d49f4f05a4cb038910e4d13b2a36a74ca2ab54ff134af37241e63ad4041d79") {
		t.Errorf("string to sign\n%s", got.StringToSign)
	}
}

func TestSignEncoding(t *testing.T) {
	got, err := Sign(Credentials{"a", "b"}, Request{Method: "GET", URL: parse(t, "https://h:443/a b/%E4%B8%AD?z=1&a=x y&a=b+c&e="), Date: date(t, "20260102T030405Z")})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(got.CanonicalRequest, "\n")
	if lines[1] != "/a%20b/%E4%B8%AD/" || lines[2] != "a=b%20c&a=x%20y&e=&z=1" || lines[3] != "host:h" {
		t.Errorf("%q", lines)
	}
}

// The header that stands for the body's hash is signed in its place, whatever
// the body is; without it another body is another signature.
func TestSignContentHash(t *testing.T) {
	of := func(body string, headers map[string]string) Signature {
		t.Helper()
		s, err := Sign(Credentials{"a", "b"}, Request{Method: "POST", URL: parse(t, "https://h/"), Headers: headers, Body: []byte(body), Date: date(t, "20260102T030405Z")})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	unsigned := map[string]string{"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}
	one, two := of("one", unsigned), of("two", unsigned)
	if one != two || !strings.HasSuffix(one.CanonicalRequest, "\nhost;x-sdk-content-sha256;x-sdk-date\nUNSIGNED-PAYLOAD") {
		t.Errorf("%q\n%q", one.CanonicalRequest, two.CanonicalRequest)
	}
	if of("one", nil) == of("two", nil) {
		t.Error("control: the body is not signed")
	}
}

// Times that name no zone are of the one that was chosen, others are not.
func TestParseTimeZone(t *testing.T) {
	beijing := time.FixedZone("+08:00", 8*3600)
	for s, shifted := range map[string]bool{
		"20270102030405": true, "20270102030405000": true, "2027-01-02 03:04:05": true,
		"2027-01-02 03:04:05 z": false, "2027-01-02 03:04:05 Z": false, "20270102T030405Z": false, "2027-01-02T03:04:05Z": false, "1798859045000": false,
		"1798859045": false, "2027-01-02T03:04:05+0000": false, "2027-01-02T11:04:05.000+0800": false, "2027-01-02T11:04:05+08:00": false,
		"2027-01-02 11:04:05+0800": false, "2027-01-02 11:04:05 +0800": false, "2027-01-02 11:04:05+08:00": false, "20270102T110405+0800": false,
		"2027/01/02 03:04:05": true, "2027-01-02T03:04:05": true,
	} {
		utc, err1 := ParseTime(s, nil)
		there, err2 := ParseTime(s, beijing)
		want := time.Duration(0)
		if shifted {
			want = 8 * time.Hour
		}
		if err1 != nil || err2 != nil || utc.Unix() != 1798859045 || utc.Sub(there) != want {
			t.Errorf("%s: %v %v (%v %v)", s, utc, there, err1, err2)
		}
	}
}

// A day alone begins with its first instant, and ends something with its last.
func TestParseDays(t *testing.T) {
	beijing := time.FixedZone("+08:00", 8*3600)
	for _, s := range []string{"2027-01-02", "2027/01/02", "20270102"} {
		for zone, want := range map[*time.Location]int64{nil: 1798848000, beijing: 1798848000 - 8*3600} {
			first, err1 := ParseTime(s, zone)
			end, err2 := ParseEnd(s, zone)
			if err1 != nil || err2 != nil || first.Unix() != want || end.Unix() != want+24*3600 {
				t.Errorf("%s: %v to %v, want %d (%v %v)", s, first, end, want, err1, err2)
			}
		}
	}
	if end, err := ParseEnd("20270102030405", nil); err != nil || end.Unix() != 1798859045 {
		t.Errorf("with a time: %v %v", end, err)
	}
	for _, s := range []string{"", "0", "-1", "soon", "2027", "179885904", "17988590450001", "1798859045abc", "2027-13-02", "2027-01-02T", "true"} {
		if at, err := ParseTime(s, nil); !errors.Is(err, ErrAnswer) {
			t.Errorf("%q is %v", s, at)
		}
		if at, err := ParseEnd(s, nil); !errors.Is(err, ErrAnswer) {
			t.Errorf("%q ends %v", s, at)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	good := Request{Method: "GET", URL: parse(t, "https://h/"), Date: date(t, "20260102T030405Z")}
	for name, r := range map[string]Request{
		"no URL":     {Method: "GET", Date: good.Date},
		"no host":    {Method: "GET", URL: parse(t, "/x"), Date: good.Date},
		"no date":    {Method: "GET", URL: good.URL},
		"line break": {Method: "GET", URL: good.URL, Date: good.Date, Headers: map[string]string{"a": "b\r\nhost: evil"}},
	} {
		if _, err := Sign(Credentials{}, r); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := Credentials{"visible", "hidden"}
	if s := c.String() + c.GoString(); strings.Contains(s, "hidden") {
		t.Error("the secret is printed:", s)
	}
}
