// The sentences of the errors; written by agent/bindings/fixture.
using System.Collections.Generic;

namespace Example.LicenseAgent
{
    internal static class Messages
    {
        /// <summary>Per code, or code/cause: sentence and next step in English, then in Chinese.</summary>
        internal static readonly Dictionary<string, string[]> All = new Dictionary<string, string[]>
        {
            { "agent-bad-answer", new[] { "The agent's answer could not be understood.", "Check that program and agent have matching versions.", "无法理解代理程序的应答。", "请检查程序与代理程序的版本是否匹配。" } },
            { "agent-no-access", new[] { "This account may not reach the license agent's socket or pipe.", "Have an administrator look at its permissions and at those of the directories above it (namei -l SOCKET): every local account needs access; in a container or a sandbox, its rules too.", "此帐户无权访问许可证代理程序的套接字或管道。", "请让管理员检查其权限及各级上层目录的权限（namei -l 套接字）：本机的每个帐户都需要能够访问；在容器或沙箱中，还应检查其规则。" } },
            { "agent-not-running", new[] { "The license agent does not answer.", "Start it (systemctl start license-agent, rc-service license-agent start or /etc/init.d/license-agent start, on Windows: sc start license-agent, or license-agent run) and try again; in a container, start it on the host and mount its socket directory.", "许可证代理程序没有响应。", "请启动它（systemctl start license-agent、rc-service license-agent start 或 /etc/init.d/license-agent start，Windows 上为 sc start license-agent，或 license-agent run）后重试；在容器中，请在宿主机上启动代理并挂载其套接字目录。" } },
            { "agent-timeout", new[] { "The license agent did not answer in time.", "Try again; if it stays so, look at the load of the machine and the agent's log.", "许可证代理程序未及时响应。", "请重试；若持续如此，请检查机器负载和代理程序日志。" } },
            { "agent-untrusted", new[] { "The answer does not prove that the vendor licensed this use.", "Check that the right agent runs here and that the vendor's trust anchor is the right one.", "该应答不能证明厂商已授权。", "请确认运行的是正确的代理程序，且信任锚正确。" } },
            { "agent-untrusted/keyset-expired", new[] { "The vendor's key set has expired, or the clock of this machine is far ahead.", "Check the clock; then run license-agent renew, or import a new answer file.", "厂商的密钥集已过期，或本机时钟过快。", "请检查时钟，然后运行 license-agent renew，或导入新的应答文件。" } },
            { "agent-untrusted/product", new[] { "The license is for another product than the program asks for.", "Compare the product that the program names with license-agent status; each product needs a license of its own.", "该许可证属于另一产品。", "请将程序所用的产品名与 license-agent status 的输出对照；每个产品需要各自的许可证。" } },
            { "agent-untrusted/stale", new[] { "The answer came more than five seconds after the question and proves nothing any more.", "Try again; if it stays so, look at the load of the machine, and for something between program and agent that holds answers back.", "应答在提问五秒之后才到达，不再能作为证明。", "请重试；若持续如此，请检查机器负载，以及程序与代理程序之间是否有拖延应答的环节。" } },
            { "agent-wrong-device", new[] { "The license is genuine, but it was issued for another machine.", "Run license-agent why on this machine; activate it with a code of its own.", "许可证是真实的，但颁发给另一台机器。", "请在本机运行 license-agent why，并使用自己的授权码激活。" } },
            { "agent-wrong-owner", new[] { "Somebody else than the license agent listens on its endpoint.", "Find out who owns the socket (ls -l) before trusting this machine.", "代理程序的接口被其他用户占用。", "请先查明套接字的所有者（ls -l），再信任本机。" } },
            { "anchor", new[] { "The trust anchor that the program was built with is unusable.", "Build the program with the anchor file that the vendor's merchant service wrote, unchanged.", "程序内置的信任锚无法使用。", "请使用厂商商户服务生成的、未经改动的锚文件重新构建程序。" } },
            { "config-invalid", new[] { "The program names an agent or a product that cannot be.", "Correct instance, socket or product in the program; without instance and socket it asks the agent that is installed here.", "程序指定的代理程序或产品名无效。", "请在程序中更正实例、套接字或产品名；省略实例和套接字时使用本机安装的代理程序。" } },
            { "not-licensed", new[] { "This use is not licensed now.", "Run: license-agent why", "当前使用未获许可。", "请运行：license-agent why" } },
            { "not-licensed/entitlement-ended", new[] { "The entitlement has ended.", "Check the clock of this machine; if it is right, extend the subscription with the vendor, then run license-agent renew.", "授权已到期。", "请检查本机时钟；若时钟正确，请向厂商续订，然后运行 license-agent renew。" } },
            { "not-licensed/grace-ended", new[] { "The license was not renewed before its grace time ended.", "Check the clock of this machine; then run license-agent renew, or exchange a request file with the vendor.", "许可证未在宽限期结束前续期。", "请检查本机时钟，然后运行 license-agent renew，或与厂商交换请求文件。" } },
            { "not-licensed/license-revoked", new[] { "The vendor's key set has revoked this license.", "Contact the vendor.", "厂商的密钥集已吊销该许可证。", "请联系厂商。" } },
            { "not-licensed/not-yet-valid", new[] { "The license has not begun yet.", "Check the clock of this machine; if it is right, wait until the license begins.", "许可证尚未生效。", "请检查本机时钟；若时钟正确，请等到许可证生效。" } },
            { "not-licensed/released", new[] { "This license was released from this machine.", "Activate this machine with an authorization code.", "该许可证已从本机释放。", "请使用授权码激活本机。" } },
            { "not-licensed/revoked", new[] { "The vendor has revoked this license.", "Contact the vendor.", "厂商已吊销该许可证。", "请联系厂商。" } },
            { "not-licensed/suspended", new[] { "The vendor or the marketplace has suspended this license.", "Contact the vendor; when it is lifted, run license-agent renew.", "厂商或云商店已冻结该许可证。", "请联系厂商；解冻后请运行 license-agent renew。" } },
        };
    }
}
