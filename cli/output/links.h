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

// A personal invite to label one run, under a random name; and one to the run's dashboard.
absl::StatusOr<std::string> LabelingLink(const client::BrokerClient& broker, const std::string& url,
                                         int64_t run_id);
absl::StatusOr<std::string> DashboardLink(const client::BrokerClient& broker,
                                          const std::string& url, int64_t run_id);

// `text` as a QR code of block characters, dark on light whatever the
// terminal's colours.
absl::StatusOr<std::string> QrCode(const std::string& text);

// Opens the link in the desktop's browser, and does not wait for it. False where
// there is no desktop.
bool OpenInBrowser(const std::string& link);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_LINKS_H_
