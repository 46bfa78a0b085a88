// Files of secrets.
#ifndef BACKFLIP_CLI_LAUNCHER_PRIVATE_FILE_H_
#define BACKFLIP_CLI_LAUNCHER_PRIVATE_FILE_H_

#include <string>

#include "absl/status/status.h"

namespace backflip::cli {

// Writes a file that its owner alone can read, whole or not at all, in the place of one that is
// there. FAILED_PRECONDITION: it cannot be written.
absl::Status WritePrivateFile(const std::string& path, const std::string& text);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_LAUNCHER_PRIVATE_FILE_H_
