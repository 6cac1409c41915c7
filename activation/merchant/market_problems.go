package merchant

import "licenseagent.example/activation/protocol"

// The codes of problems with the marketplace.
const (
	problemKey         = "marketplace-key"
	problemForeign     = "foreign-code"
	problemTyped       = "refused-code"
	problemFailing     = "marketplace-failing"
	problemUnknown     = "marketplace-unknown-code"
	problemBatch       = "bad-code"
	problemClock       = "clock-skew"
	problemCert        = "marketplace-certificate"
	problemAway        = "marketplace-away"
	problemAnswer      = "marketplace-answer"
	problemThrottled   = "marketplace-throttled"
	problemProduct     = "unknown-product"
	problemPurchase    = "unknown-purchase"
	problemOrder       = "unknown-order"
	problemAmount      = "unknown-quantity"
	problemStatus      = "unknown-status"
	problemEnd         = "unknown-end"
	problemUpload      = "upload-refused"
	problemGivenUp     = "work-given-up"
	problemCallbackKey = "callback-key"
	problemCallbackAge = "callback-clock"
)

// marketProblems is the part of Problems that the marketplace brings.
func marketProblems() []Problem {
	p := func(code, en, zh, nextEN, nextZH string) Problem {
		return Problem{Code: code, Message: protocol.Text{EN: en, ZH: zh}, Next: protocol.Text{EN: nextEN, ZH: nextZH}}
	}
	return []Problem{
		p(problemKey,
			"KooGallery refuses this service's access key.",
			"KooGallery 拒绝本服务的访问密钥。",
			"Check access_key and secret_key in [koogallery], that the key is enabled, and that its user has programmatic access.",
			"请检查 [koogallery] 中的 access_key 与 secret_key、密钥是否启用，以及该用户是否允许编程访问。"),
		p(problemForeign,
			"KooGallery answers 92020001 about a code: it was sold by another seller, or KooGallery has an internal error.",
			"KooGallery 对某个授权码返回 92020001：该授权码由其他商家售出，或 KooGallery 内部出错。",
			"Compare the seller on the buyer's order with the account of access_key; if it is another one, give the buyer that seller's contact. If it is yours, let the buyer try again later.",
			"请将买家订单中的商家与 access_key 所属账号核对；若为其他商家，请告知买家其联系方式；若为本商家，请让买家稍后重试。"),
		p(problemTyped,
			"KooGallery does not know a code that somebody typed here, or calls it invalid: a typing mistake, or a code of another seller.",
			"KooGallery 不认识此处输入的某个授权码，或称其无效：可能是输入错误，也可能由其他商家售出。",
			"When a buyer asks: compare the code with his order, and the seller there with the account of access_key; give him the other seller's contact.",
			"若买家咨询：请核对授权码与其订单，并将订单中的商家与 access_key 所属账号核对；若为其他商家，请告知其联系方式。"),
		p(problemFailing,
			"KooGallery has answered internal errors, or codes that are new, for an hour.",
			"KooGallery 一小时以来持续返回内部错误或未知错误码。",
			"Work waits and is tried again, licenses keep running; give KooGallery's support the error code, and look for a newer license-merchant if the code is new.",
			"任务会等待并重试，许可证继续有效；请将错误码提供给 KooGallery 支持人员；若为新错误码，请检查 license-merchant 是否有新版本。"),
		p(problemUnknown,
			"KooGallery does not know a code that was activated here, or says that it is not activated.",
			"KooGallery 不认识在此激活过的某个授权码，或称其未激活。",
			"Look the order up in Seller Center; the devices go on until their renew-by, freeze or release the code here if it is void.",
			"请在卖家中心查询该订单；设备在续约期限前继续运行。若授权码已作废，请在此冻结或收回。"),
		p(problemBatch,
			"KooGallery calls the request about one code invalid.",
			"KooGallery 认为关于某个授权码的请求无效。",
			"Look the order up in Seller Center; the reports about other codes were sent without it.",
			"请在卖家中心查询该订单；其他授权码的上报已单独发送。"),
		p(problemClock,
			"This server's clock is more than 15 minutes off, KooGallery refuses every call.",
			"本服务器时钟偏差超过 15 分钟，KooGallery 拒绝所有调用。",
			"Set the clock and keep it right with NTP (timedatectl set-ntp true).",
			"请校准时钟并启用 NTP（timedatectl set-ntp true）。"),
		p(problemCert,
			"The certificate of KooGallery's host is not valid, nothing was sent.",
			"KooGallery 主机的证书无效，未发送任何内容。",
			"Check proxy and CA certificates of this server; somebody may be in between: do not work around it.",
			"请检查本服务器的代理与 CA 证书；可能有人居中：不要绕过校验。"),
		p(problemAway,
			"KooGallery cannot be reached.",
			"无法连接 KooGallery。",
			"Nothing to do if it is theirs; else check DNS, proxy and firewall for mkt.myhuaweicloud.com:443. Licenses keep running, work waits.",
			"若是对方故障则无需处理；否则请检查 DNS、代理与防火墙（mkt.myhuaweicloud.com:443）。许可证继续有效，任务会等待。"),
		p(problemAnswer,
			"KooGallery answers something that cannot be read.",
			"KooGallery 的应答无法读取。",
			"Check that no proxy answers in its place; work waits and is tried again.",
			"请检查是否有代理代为应答；任务会等待并重试。"),
		p(problemThrottled,
			"KooGallery limits the rate of this service's calls.",
			"KooGallery 限制了本服务的调用频率。",
			"Nothing to do if it passes; else ask KooGallery for the limit.",
			"若自行恢复则无需处理；否则请向 KooGallery 询问限额。"),
		p(problemProduct,
			"A product of KooGallery is not configured here, its buyers cannot activate.",
			"KooGallery 的某个商品未在此配置，其买家无法激活。",
			"Add [[koogallery.product]] with this id to merchant.toml and restart; the buyer's next attempt succeeds.",
			"请在 merchant.toml 中添加带有该编号的 [[koogallery.product]] 并重启；买家再次尝试即可成功。"),
		p(problemPurchase,
			"KooGallery activated a code, but the answer that names product and quantity was lost, and several products are configured: its buyer cannot use it yet.",
			"KooGallery 已激活某个授权码，但说明商品与数量的应答丢失，且配置了多个商品：买家暂时无法使用。",
			"Look the code up in Seller Center, it ends with these characters; then license-merchant codes sale with them, --product and --amount. The buyer's next attempt succeeds.",
			"请在卖家中心查询以这些字符结尾的授权码；然后以这些字符执行 license-merchant codes sale，并给出 --product 与 --amount。买家再次尝试即可成功。"),
		p(problemOrder,
			"An order of KooGallery does not name its product, and not exactly one product is configured: its buyer's software gets no license yet.",
			"KooGallery 的某个订单未说明商品，且此处配置的商品不是恰好一个：买家的软件暂时无法获得许可证。",
			"Look the order up in Seller Center; then license-merchant codes sale --order with this order and line, --product and --amount. The next application succeeds.",
			"请在卖家中心查询该订单；然后以此订单与订单行执行 license-merchant codes sale --order，并给出 --product 与 --amount。下次申请即可成功。"),
		p(problemAmount,
			"How many seats were bought with a code could not be learned; it counts as the product's default.",
			"无法获知某个授权码购买的数量，按商品默认值处理。",
			"Look the quantity up in Seller Center; then license-merchant codes sale with this id and --amount. Devices learn it at their next renewal.",
			"请在卖家中心查询数量；然后以此编号执行 license-merchant codes sale 并给出 --amount。设备将在下次续约时获知。"),
		p(problemStatus,
			"KooGallery names a state of a code that its documents do not list. The code goes on as it was, or counts as frozen, as unknown_status in [koogallery] says.",
			"KooGallery 返回了某个授权码在其文档中未列出的状态。该授权码保持原状，或按 [koogallery] 中的 unknown_status 视为已冻结。",
			"Look the code's state up in Seller Center; freeze or release it here if it may not be used. Look for a newer license-merchant that knows the word. It closes by itself when a known word comes.",
			"请在卖家中心查询该授权码的状态；若不允许使用，请在此冻结或收回。请检查是否有认识该状态的新版 license-merchant。收到已知状态后会自动关闭。"),
		p(problemEnd,
			"KooGallery calls a frozen code alive and names no end that can be read: it stays frozen, as thaw = \"with-expiry\" in [koogallery] says.",
			"KooGallery 称某个已冻结的授权码有效，但未给出可读取的到期时间：按 [koogallery] 中的 thaw = \"with-expiry\"，该授权码保持冻结。",
			"Look the code up in Seller Center. If it is in use there, let its un-freeze be sent again from production messages, or set thaw = \"always\" in [koogallery] and restart; the log names what was met instead of an end.",
			"请在卖家中心查询该授权码。若其在那里处于使用中，请在生产接口消息中重新推送解冻，或在 [koogallery] 中设置 thaw = \"always\" 并重启；日志中记录了收到的内容。"),
		p(problemUpload,
			"KooGallery does not take a license that was applied for.",
			"KooGallery 不接受所申请的许可证。",
			"Look at the application in Seller Center › production messages; it can be sent again from there.",
			"请在卖家中心的生产接口消息中查看该申请；可在那里重新推送。"),
		p(problemGivenUp,
			"Work about a code was given up: KooGallery does not take it, or could not be asked for two weeks.",
			"关于某个授权码的任务已放弃：KooGallery 不予接受，或两周内无法联系。",
			"Look the order up in Seller Center; license-merchant health settle work-given-up with its id lets it be tried again.",
			"请在卖家中心查询该订单；使用其编号执行 license-merchant health settle work-given-up 可重新尝试。"),
		p(problemCallbackKey,
			"Calls arrive at the callback address that are not signed with callback_key.",
			"回调地址收到未用 callback_key 签名的调用。",
			"If KooGallery shows failed messages, compare callback_key with Seller Center › key management (license-merchant koogallery verify-callback); else somebody is trying.",
			"若 KooGallery 显示消息失败，请核对 callback_key 与卖家中心的密钥管理（license-merchant koogallery verify-callback）；否则是有人在尝试。"),
		p(problemCallbackAge,
			"Callbacks of KooGallery arrive with a time more than 60 seconds off.",
			"KooGallery 的回调时间偏差超过 60 秒。",
			"Set this server's clock and keep it right with NTP (timedatectl set-ntp true).",
			"请校准本服务器时钟并启用 NTP（timedatectl set-ntp true）。"),
	}
}
