package api

// sentence is what a person reads for one code: what happened, and what to do.
type sentence struct {
	code            string
	en, enHint      string
	chinese, zhNext string
}

// Sentence returns the plain sentence of a code and the next step, in English
// or Chinese (lang is English or Chinese; anything else is English). An
// unknown code gets the sentence of CodeInternal.
func Sentence(code, lang string) (message, hint string) {
	rows := sentences()
	row := rows[len(rows)-1]
	for _, r := range rows {
		if r.code == code {
			row = r
			break
		}
	}
	if lang == Chinese {
		return row.chinese, row.zhNext
	}
	return row.en, row.enHint
}

// SentenceFor is Sentence for a code that came of a cause: where that cause asks
// for another next step than the rest of its code, it has words of its own.
func SentenceFor(code, cause, lang string) (message, hint string) {
	for _, r := range causes() {
		if r.code == code+"/"+cause {
			if lang == Chinese {
				return r.chinese, r.zhNext
			}
			return r.en, r.enHint
		}
	}
	return Sentence(code, lang)
}

// Causes lists the code/cause pairs that have words of their own.
func Causes() []string {
	var out []string
	for _, r := range causes() {
		out = append(out, r.code)
	}
	return out
}

// CauseArgument stands behind CodeConfig when a program gave its client an
// argument that cannot be, and no file is at fault.
const CauseArgument = "argument"

func causes() []sentence {
	return []sentence{
		{
			CodeUntrusted + "/product",
			"The license is for another product than the program asks for.", "Compare the product that the program names with license-agent status; each product needs a license of its own.",
			"该许可证属于另一产品。", "请将程序所用的产品名与 license-agent status 的输出对照；每个产品需要各自的许可证。",
		},
		{
			CodeUntrusted + "/stale",
			"The answer came more than five seconds after the question and proves nothing any more.", "Try again; if it stays so, look at the load of the machine, and for something between program and agent that holds answers back.",
			"应答在提问五秒之后才到达，不再能作为证明。", "请重试；若持续如此，请检查机器负载，以及程序与代理程序之间是否有拖延应答的环节。",
		},
		{
			CodeUntrusted + "/keyset-expired",
			"The vendor's key set has expired, or the clock of this machine is far ahead.", "Check the clock; then run license-agent renew, or import a new answer file.",
			"厂商的密钥集已过期，或本机时钟过快。", "请检查时钟，然后运行 license-agent renew，或导入新的应答文件。",
		},
		// What a program's own time rule or the vendor's notice says, where no agent says it.
		{
			CodeNotLicensed + "/not-yet-valid",
			"The license has not begun yet.", "Check the clock of this machine; if it is right, wait until the license begins.",
			"许可证尚未生效。", "请检查本机时钟；若时钟正确，请等到许可证生效。",
		},
		{
			CodeNotLicensed + "/entitlement-ended",
			"The entitlement has ended.", "Check the clock of this machine; if it is right, extend the subscription with the vendor, then run license-agent renew.",
			"授权已到期。", "请检查本机时钟；若时钟正确，请向厂商续订，然后运行 license-agent renew。",
		},
		{
			CodeNotLicensed + "/grace-ended",
			"The license was not renewed before its grace time ended.", "Check the clock of this machine; then run license-agent renew, or exchange a request file with the vendor.",
			"许可证未在宽限期结束前续期。", "请检查本机时钟，然后运行 license-agent renew，或与厂商交换请求文件。",
		},
		{
			CodeNotLicensed + "/license-revoked",
			"The vendor's key set has revoked this license.", "Contact the vendor.",
			"厂商的密钥集已吊销该许可证。", "请联系厂商。",
		},
		{
			CodeNotLicensed + "/suspended",
			"The vendor or the marketplace has suspended this license.", "Contact the vendor; when it is lifted, run license-agent renew.",
			"厂商或云商店已冻结该许可证。", "请联系厂商；解冻后请运行 license-agent renew。",
		},
		{
			CodeNotLicensed + "/revoked",
			"The vendor has revoked this license.", "Contact the vendor.",
			"厂商已吊销该许可证。", "请联系厂商。",
		},
		{
			CodeNotLicensed + "/released",
			"This license was released from this machine.", "Activate this machine with an authorization code.",
			"该许可证已从本机释放。", "请使用授权码激活本机。",
		},
		{
			CodeConfig + "/" + CauseArgument,
			"The program names an agent or a product that cannot be.", "Correct instance, socket or product in the program; without instance and socket it asks the agent that is installed here.",
			"程序指定的代理程序或产品名无效。", "请在程序中更正实例、套接字或产品名；省略实例和套接字时使用本机安装的代理程序。",
		},
	}
}

func sentences() []sentence {
	return []sentence{
		{
			CodeBadRequest,
			"The request could not be understood.", "Compare it with openapi.yaml of the agent's version.",
			"无法理解该请求。", "请对照该版本的 openapi.yaml。",
		},
		{
			CodeForeignRequest,
			"The request looks as if it came from a browser or a proxy, which this endpoint refuses.", "Use http://license-agent/… as the address and send neither Origin nor Referer.",
			"请求似乎来自浏览器或代理，本接口予以拒绝。", "地址请使用 http://license-agent/…，且不要发送 Origin 或 Referer。",
		},
		{
			CodeNoIdentity,
			"The operating system did not say who is calling.", "Connect through the agent's own Unix socket or named pipe, not through a relay.",
			"操作系统未提供调用者身份。", "请直接连接代理程序的 Unix 套接字或命名管道，不要经过转发。",
		},
		{
			CodePermission,
			"Only an administrator of this agent may do that.", "Repeat the command as root or as a member of the agent's administrators group.",
			"只有该代理程序的管理员可以执行此操作。", "请以 root 或管理员组成员身份重试。",
		},
		{
			CodeNotFound,
			"The agent has nothing at this address.", "Compare the path with openapi.yaml of the agent's version.",
			"代理程序没有该地址。", "请对照该版本的 openapi.yaml 检查路径。",
		},
		{
			CodeMethod,
			"The address exists, but not for this method.", "Compare the method with openapi.yaml of the agent's version.",
			"该地址不支持此方法。", "请对照该版本的 openapi.yaml 检查方法。",
		},
		{
			CodeTooLarge,
			"The request is larger than the agent accepts.", "Requests may have 16 KiB, answer files 256 KiB.",
			"请求超过代理程序允许的大小。", "普通请求上限 16 KiB，应答文件上限 256 KiB。",
		},
		{
			CodeBusy,
			"This user's share of the agent is used up while other users wait.", "Wait a second and keep one connection open instead of many.",
			"该用户的配额已用完，其他用户正在等待。", "请稍候一秒，并复用一个连接。",
		},
		{
			CodeNotActivated,
			"No license is held for this product on this machine.", "Run: license-agent activate",
			"本机没有该产品的许可证。", "请运行：license-agent activate",
		},
		{
			CodeAmbiguous,
			"More than one license fits.", "Name the issuer and the product.",
			"有多个许可证符合条件。", "请指明发行者和产品。",
		},
		{
			CodeAlreadyActivated,
			"A license for this product is held already.", "Run license-agent status to see it. A code of another product needs --product with its name; --replace puts another code in this one's place.",
			"本机已持有该产品的许可证。", "运行 license-agent status 查看。另一产品的授权码需加 --product 指明产品；如需更换授权码，请加 --replace。",
		},
		{
			CodeNotLicensed,
			"This use is not licensed now.", "Run: license-agent why",
			"当前使用未获许可。", "请运行：license-agent why",
		},
		{
			CodeSeatsTaken,
			"All seats of this license on this machine are taken.", "Run license-agent seats list to see who holds them; end one of these programs, wait, or buy more seats.",
			"该许可证在本机的席位已全部占用。", "运行 license-agent seats list 查看占用者；请结束其中一个程序、等待或购买更多席位。",
		},
		{
			CodeOutstanding,
			"A request for this license is still waiting for its answer.", "Import the answer of that request, or repeat the request to get the same file again.",
			"该许可证仍有一个请求在等待应答。", "请导入该请求的应答，或重新执行请求以得到同一文件。",
		},
		{
			CodeAlreadyImported,
			"This answer was imported before.", "Nothing needs to be done; make a new request for a new answer.",
			"该应答已经导入过。", "无需操作；如需新的应答，请重新生成请求。",
		},
		{
			CodeWrongAnswer,
			"The answer does not belong to a request of this machine.", "Import it on the machine that made the request, or make a new request here.",
			"该应答不属于本机的请求。", "请在生成请求的机器上导入，或在本机重新生成请求。",
		},
		{
			CodeBadFile,
			"The file is not what it should be, or it was altered.", "Copy it again without changing it, or ask for a new one.",
			"文件格式不符或已被改动。", "请原样重新复制，或重新获取。",
		},
		{
			CodeUnknownIssuer,
			"This agent has no trust anchor for that vendor.", "Put the vendor's anchor file into the anchors directory and restart the agent.",
			"代理程序没有该厂商的信任锚。", "请将厂商的锚文件放入 anchors 目录并重启代理程序。",
		},
		{
			CodeDamaged,
			"The stored license does not verify any more.", "Run license-agent renew to fetch it again, or import a new answer file.",
			"保存的许可证无法通过验证。", "请运行 license-agent renew 重新获取，或导入新的应答文件。",
		},
		{
			CodeUnreachable,
			"The merchant service could not be reached.", "Check network, proxy and clock; running licenses go on until their grace ends.",
			"无法连接商户服务。", "请检查网络、代理和时钟；已有许可证在宽限期内继续有效。",
		},
		{
			CodeBadAnswer,
			"The merchant service answered something that is not a valid answer.", "Check that no proxy or login page is in between; nothing was changed here.",
			"商户服务返回了无效的应答。", "请检查中间是否有代理或登录页面；本机没有任何改动。",
		},
		{
			CodeRefused,
			"The merchant service refused.", "Ask the vendor with the code shown.",
			"商户服务拒绝了请求。", "请凭所示代码联系厂商。",
		},
		{
			CodeStorage,
			"The agent could not store the change, so it was not made.", "Look at the agent's log for the reason and repeat the command.",
			"代理程序无法保存更改，因此未作更改。", "请查看代理程序日志中的原因后重试。",
		},
		{
			CodeStorageFull,
			"The disk is full, so the change was not made.", "Free some space and repeat the command; nothing was lost.",
			"磁盘已满，未作更改。", "请释放空间后重试；没有数据丢失。",
		},
		{
			CodeNotRunning,
			"The license agent does not answer.", "Start it (systemctl start license-agent, rc-service license-agent start or /etc/init.d/license-agent start, on Windows: sc start license-agent, or license-agent run) and try again; in a container, start it on the host and mount its socket directory.",
			"许可证代理程序没有响应。", "请启动它（systemctl start license-agent、rc-service license-agent start 或 /etc/init.d/license-agent start，Windows 上为 sc start license-agent，或 license-agent run）后重试；在容器中，请在宿主机上启动代理并挂载其套接字目录。",
		},
		{
			CodeTimeout,
			"The license agent did not answer in time.", "Try again; if it stays so, look at the load of the machine and the agent's log.",
			"许可证代理程序未及时响应。", "请重试；若持续如此，请检查机器负载和代理程序日志。",
		},
		{
			CodeWrongOwner,
			"Somebody else than the license agent listens on its endpoint.", "Find out who owns the socket (ls -l) before trusting this machine.",
			"代理程序的接口被其他用户占用。", "请先查明套接字的所有者（ls -l），再信任本机。",
		},
		{
			CodeNoAccess,
			"This account may not reach the license agent's socket or pipe.", "Have an administrator look at its permissions and at those of the directories above it (namei -l SOCKET): every local account needs access; in a container or a sandbox, its rules too.",
			"此帐户无权访问许可证代理程序的套接字或管道。", "请让管理员检查其权限及各级上层目录的权限（namei -l 套接字）：本机的每个帐户都需要能够访问；在容器或沙箱中，还应检查其规则。",
		},
		{
			CodeAgentAnswer,
			"The agent's answer could not be understood.", "Check that program and agent have matching versions.",
			"无法理解代理程序的应答。", "请检查程序与代理程序的版本是否匹配。",
		},
		{
			CodeUntrusted,
			"The answer does not prove that the vendor licensed this use.", "Check that the right agent runs here and that the vendor's trust anchor is the right one.",
			"该应答不能证明厂商已授权。", "请确认运行的是正确的代理程序，且信任锚正确。",
		},
		{
			CodeWrongDevice,
			"The license is genuine, but it was issued for another machine.", "Run license-agent why on this machine; activate it with a code of its own.",
			"许可证是真实的，但颁发给另一台机器。", "请在本机运行 license-agent why，并使用自己的授权码激活。",
		},
		{
			CodeUsage,
			"The command line could not be understood.", "Add --help to see what the command accepts.",
			"无法理解命令行。", "加 --help 查看用法。",
		},
		{
			CodeConfig,
			"The configuration could not be read.", "Correct it and test it with: license-agent run --check-config",
			"无法读取配置。", "请更正后用 license-agent run --check-config 检查。",
		},
		{
			CodeStateInUse,
			"Another agent uses this state directory.", "Stop the other agent, or give this one its own directory with --dir or --instance.",
			"另一个代理程序正在使用该状态目录。", "请停止另一个代理程序，或用 --dir 或 --instance 指定单独的目录。",
		},
		{
			CodeStateUnsafe,
			"Others could change the agent's state directory or key.", "Give directory and key to the agent's own user, closed to everybody else (0700 and 0600; on Windows the installer's repair does it), and no links.",
			"其他用户可能改动代理程序的状态目录或密钥。", "请将目录和密钥归代理程序自己的用户所有，并关闭其他权限（0700 和 0600；Windows 上由安装程序的修复功能完成），且不得为链接。",
		},
		{
			CodeSocketTaken,
			"The agent's endpoint belongs to somebody else.", "Remove the foreign socket, or choose another place with --dir or --instance.",
			"代理程序的接口属于他人。", "请移除该套接字，或用 --dir 或 --instance 另选位置。",
		},
		{
			CodeStateNewer,
			"The state was written by a newer version of the agent.", "Install that version again; nothing was changed.",
			"状态由更新版本的代理程序写入。", "请重新安装该版本；没有任何改动。",
		},
		{
			CodeDeviceKey,
			"The device key cannot be used.", "The cause, above or in the agent's log, says which way is yours: give the agent the TPM or the credential back, restore device.key of this machine from a backup, or move it away and activate every license again.",
			"设备密钥无法使用。", "请按上述或代理程序日志中的原因处理：让代理重新使用 TPM 或凭据，从备份恢复本机的 device.key，或移走它并重新激活所有许可证。",
		},
		{
			CodeInterrupted,
			"The command was interrupted.", "Repeat it; a request that was sent already is repeated with the same content.",
			"命令被中断。", "请重试；已发送的请求会以相同内容重发。",
		},
		{
			CodeNotConfirmed,
			"Nothing was sent.", "Add --yes when nobody can be asked.",
			"未发送任何内容。", "无人值守时请加 --yes。",
		},
		{
			CodeFileAccess,
			"A file that the command needs cannot be read or written.", "Check the name and the permissions.",
			"无法读取或写入命令所需的文件。", "请检查文件名和权限。",
		},
		{
			CodeNoAnchor,
			"This agent knows no vendor yet.", "Put the vendor's anchor file into the anchors directory and start the agent again.",
			"该代理程序尚不认识任何厂商。", "请将厂商的锚文件放入 anchors 目录后重新启动。",
		},
		{
			CodeAnchor,
			"The trust anchor that the program was built with is unusable.", "Build the program with the anchor file that the vendor's merchant service wrote, unchanged.",
			"程序内置的信任锚无法使用。", "请使用厂商商户服务生成的、未经改动的锚文件重新构建程序。",
		},
		{
			CodeInstall,
			"The agent could not be installed, upgraded or removed.", "Do what the cause says, then run the same command again: it goes on from where it is.",
			"代理程序的安装、升级或卸载未能完成。", "请按“原因”处理后重新运行同一命令，它会从当前状态继续。",
		},
		{
			CodeInternal,
			"The agent failed unexpectedly.", "Send the output of license-agent diagnose to the vendor.",
			"代理程序发生意外错误。", "请将 license-agent diagnose 的输出发送给厂商。",
		},
	}
}
