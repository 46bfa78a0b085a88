#include "cli/launcher/private_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/random.h"

namespace backflip::cli {

absl::Status WritePrivateFile(const std::string& path, const std::string& text) {
  const std::string draft = absl::StrCat(path, ".", base::RandomHex128());
  const int fd = open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool ok = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ok = fd >= 0 && close(fd) == 0 && ok && rename(draft.c_str(), path.c_str()) == 0;
  if (ok) return absl::OkStatus();
  const std::string reason = std::strerror(errno);
  unlink(draft.c_str());
  return absl::FailedPreconditionError(absl::StrCat("cannot write '", path, "': ", reason));
}

}  // namespace backflip::cli
