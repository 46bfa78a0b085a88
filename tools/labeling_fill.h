// Questions for tools/labeling_load to answer.
#ifndef BACKFLIP_TOOLS_LABELING_FILL_H_
#define BACKFLIP_TOOLS_LABELING_FILL_H_

#include <string>

#include "absl/status/status.h"

namespace backflip::tools {

// Opens `questions` questions, each about two of some hundred clips like those of
// hopper_backflip_guided, in a new run at `broker`, and prints the run as JSON. `tokens`: folder of
// the roles' token files. Blocks.
absl::Status FillWithQuestions(const std::string& broker, const std::string& tokens, int questions);

}  // namespace backflip::tools

#endif  // BACKFLIP_TOOLS_LABELING_FILL_H_
