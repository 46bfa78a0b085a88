// Commands about the people who label: who they are, what they did, and what is
// taken back.
#ifndef BACKFLIP_CLI_COMMANDS_PEOPLE_H_
#define BACKFLIP_CLI_COMMANDS_PEOPLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "backflip/v1/label.pb.h"
#include "backflip/v1/people.pb.h"
#include "backflip/v1/review.pb.h"
#include "common/client/broker_client.h"

namespace backflip::cli {

// A moment as the command line has it: "2026-12-01", "2026-12-01T18:30" (both
// local), RFC 3339, or a distance from `now` such as "7d", "12h", "30m", to
// the future or the past. INVALID_ARGUMENT names the flag.
absl::StatusOr<absl::Time> ParseMoment(absl::string_view flag, const std::string& text,
                                       absl::Time now, bool future);

// "1,2" as {1, 2}. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::vector<int64_t>> ParseRuns(absl::string_view flag, const std::string& text);

// A table of labelers; of all runs with run_id 0.
absl::StatusOr<std::string> LabelerTable(const client::BrokerClient& broker, int64_t run_id);
absl::Status SetLabelerState(const client::BrokerClient& broker, const std::string& name,
                             v1::LabelerState state, const std::string& reason);
// Returns the pseudonym that the labels are kept under.
absl::StatusOr<std::string> ForgetLabeler(const client::BrokerClient& broker,
                                          const std::string& name);
// Labels, active and waiting minutes of everybody, as CSV with a header.
absl::StatusOr<std::string> StatementCsv(const client::BrokerClient& broker, int64_t run_id,
                                         absl::Time since, absl::Time until);
absl::StatusOr<v1::RetractLabelsResponse> RetractLabels(const client::BrokerClient& broker,
                                                        const std::string& name, int64_t run_id,
                                                        absl::Time since);

// left, right or tie; check, qualify or show. INVALID_ARGUMENT names the flag.
absl::StatusOr<v1::Choice> ParseAnswer(const std::string& text);
absl::StatusOr<v1::GoldUse> ParseGoldUse(const std::string& text);
absl::StatusOr<std::string> GoldTable(const client::BrokerClient& broker, int64_t run_id);

// A field of a CSV file, quoted where RFC 4180 wants it; what a spreadsheet would
// take for a formula gets an apostrophe before it.
std::string CsvField(absl::string_view text);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_COMMANDS_PEOPLE_H_
