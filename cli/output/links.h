// Links that people open: made for them, shown, and opened.
#ifndef BACKFLIP_CLI_OUTPUT_LINKS_H_
#define BACKFLIP_CLI_OUTPUT_LINKS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/people.pb.h"
#include "common/client/broker_client.h"

namespace backflip::cli {

// Makes an invite and returns the link to it: the labeling page for labelers,
// the dashboard for reviewers and operators. `url`: how browsers reach the
// broker. The request's id is chosen here.
absl::StatusOr<std::string> Invite(const client::BrokerClient& broker, const std::string& url,
                                   v1::InviteRequest request);

// A personal invite to one run, under a random name: to label it, to review it, or, as an
// operator, to see and change all runs. It can be accepted within a day, an operator's within an
// hour.
absl::StatusOr<std::string> RunLink(const client::BrokerClient& broker, const std::string& url,
                                    int64_t run_id, v1::InviteRole role);

// Whether the invite of such a link still lets somebody in.
bool LetsIn(const client::BrokerClient& broker, const std::string& link);

// `text` as a QR code of block characters, dark on light whatever the
// terminal's colours.
absl::StatusOr<std::string> QrCode(const std::string& text);

// Opens the link in the desktop's browser, and does not wait for it. False where
// there is no desktop.
bool OpenInBrowser(const std::string& link);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_LINKS_H_
