package api

import "strings"

// Languages of the sentences.
const (
	English = "en"
	Chinese = "zh-CN"
)

// Language picks one of the two languages from text such as LANG
// ("zh_CN.UTF-8") or an Accept-Language header ("zh-CN,zh;q=0.9"): Chinese
// when the first entry begins with zh, else English.
func Language(text string) string {
	text = strings.TrimSpace(text)
	if len(text) >= 2 && strings.EqualFold(text[:2], "zh") && (len(text) == 2 || strings.ContainsRune("-_,;.", rune(text[2]))) {
		return Chinese
	}
	return English
}

// NewError makes the error of a code in one language, with its sentence and
// next step filled in.
func NewError(code, lang string) *Error {
	message, hint := Sentence(code, lang)
	return &Error{Code: code, Message: message, Hint: hint}
}
