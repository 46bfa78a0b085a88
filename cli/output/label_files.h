// Labels as files: JSON Lines, CSV, and arrays for other programs
// (docs/protocol.md has the formats).
#ifndef BACKFLIP_CLI_OUTPUT_LABEL_FILES_H_
#define BACKFLIP_CLI_OUTPUT_LABEL_FILES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/review.pb.h"
#include "common/client/broker_client.h"

namespace backflip::cli {

enum class LabelFormat {
  kJsonLines,     // one object a line
  kCsv,           // a header, then a line for each label
  kNpz,           // B-Pref's buffers: buffer_seg1, buffer_seg2, buffer_label
  kTrajectories,  // NPZ of trajectories, two for each label, that `imitation` loads
};

// Writes the standing labels of a run to `path`; JSON Lines and CSV go to
// standard output where it is empty. With `clips`, JSON Lines hold the clips,
// too, each before the first label that names it: what ImportLabels takes. The
// arrays hold what is trained on: LEFT, RIGHT and TIE to TRAIN questions, a
// ranking as its pairs. A file is written whole or not at all.
absl::Status ExportLabels(const client::BrokerClient& broker, int64_t run_id, LabelFormat format,
                          bool clips, const std::string& path);

// Takes a JSON Lines file with clips into a run: all of it or nothing, and
// once however often it is called. INVALID_ARGUMENT names the line.
absl::StatusOr<v1::ImportLabelsResponse> ImportLabels(const client::BrokerClient& broker,
                                                      int64_t run_id, const std::string& path);

// In one word, or a ranking as positions of clips: "2>0=1".
std::string AnswerText(const v1::Answer& answer);

// A field of a CSV file, quoted where RFC 4180 wants it; what a spreadsheet would take for a
// formula gets an apostrophe before it.
std::string CsvField(absl::string_view text);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_LABEL_FILES_H_
