#include "common/sim/bundle.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/experience/limits.h"
#include "common/sim/task_file.h"

namespace backflip::sim {
namespace {

using experience::kMaxBundleBytes;

absl::Status TooLarge(size_t bytes) {
  return absl::InvalidArgumentError(absl::StrCat("a task bundle may have ", kMaxBundleBytes,
                                                 " bytes in ", kMaxBundleFiles,
                                                 " files; this one has at least ", bytes));
}

}  // namespace

std::string NormalizePath(const std::string& path) {
  if (path.empty() || path[0] == '/' || path.find('\\') != path.npos ||
      path.find('\0') != path.npos) {
    return "";
  }
  std::vector<std::string> parts;
  for (const auto part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (parts.empty()) {
      return "";
    } else {
      parts.pop_back();
    }
  }
  return absl::StrJoin(parts, "/");
}

absl::StatusOr<Bundle> PackBundle(const std::string& folder, const ModelReader& read_model) {
  namespace fs = std::filesystem;
  std::map<std::string, std::string> files;
  size_t size = 0;
  std::string linked;  // the first file that links out of the folder
  std::error_code unknown;
  const fs::path root = fs::canonical(folder, unknown);
  const FileReader reader = [&](const std::string& path) -> const std::string* {
    if (const auto found = files.find(path); found != files.end()) {
      return &found->second;
    }
    std::error_code ignored;
    const fs::path full = fs::path(folder) / path;
    if (!fs::is_regular_file(full, ignored)) return nullptr;
    const fs::path real = fs::canonical(full, ignored);
    if (std::mismatch(root.begin(), root.end(), real.begin(), real.end()).first != root.end()) {
      if (linked.empty()) linked = path;
      return nullptr;
    }
    const uintmax_t bytes = fs::file_size(full, ignored);
    if (bytes > kMaxBundleBytes || size > kMaxBundleBytes) {
      size += bytes;
      return nullptr;
    }
    size += bytes;
    std::ifstream in(full, std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(in), {}};
    if (!in) return nullptr;
    return &(files[path] = std::move(content));
  };

  const std::string task_path = (fs::path(folder) / kTaskFile).string();
  const std::string* text = reader(kTaskFile);
  if (text == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(task_path, ": no such file; a task is a folder with a ", kTaskFile));
  }
  ASSIGN_OR_RETURN(const auto file, TaskFile::Parse(*text, task_path));
  const std::string model = NormalizePath(file->task().model());
  if (model.empty()) {
    return file->located().Error("model", "leaves the task's folder");
  }
  if (reader(model) == nullptr && linked.empty()) {
    return file->located().Error("model", absl::StrCat("no file \"", model, "\" in ", folder));
  }
  const absl::Status loaded = read_model(model, reader);
  if (!linked.empty()) {
    return file->located().Error("model",
                                 absl::StrCat("the file ", linked,
                                              " is a link to outside of the task's folder; "
                                              "put a copy in its place"));
  }
  if (size > kMaxBundleBytes || files.size() > kMaxBundleFiles) {
    return TooLarge(size);
  }
  if (!loaded.ok()) return file->located().Error("model", loaded.message());

  v1::TaskBundle message;
  for (auto& [path, content] : files) {
    auto* entry = message.add_files();
    entry->set_path(path);
    entry->set_content(std::move(content));
  }
  Bundle bundle;
  bundle.bytes = message.SerializeAsString();
  if (bundle.bytes.size() > kMaxBundleBytes) return TooLarge(bundle.bytes.size());
  bundle.hash = base::Sha256Hex(bundle.bytes);
  return bundle;
}

absl::StatusOr<v1::TaskBundle> UnpackBundle(const std::string& bytes) {
  if (bytes.size() > kMaxBundleBytes) return TooLarge(bytes.size());
  v1::TaskBundle message;
  if (!message.ParseFromString(bytes)) {
    return absl::InvalidArgumentError("these bytes are no task bundle");
  }
  if (message.files_size() > kMaxBundleFiles) return TooLarge(bytes.size());
  const std::string* previous = nullptr;
  for (const auto& file : message.files()) {
    if (file.path().size() > 255 || NormalizePath(file.path()) != file.path()) {
      return absl::InvalidArgumentError(absl::StrCat("a task bundle holds the path \"", file.path(),
                                                     "\"; paths are relative and have no . or .."));
    }
    if (previous != nullptr && !(*previous < file.path())) {
      return absl::InvalidArgumentError(
          absl::StrCat("the files of a task bundle are out of order at ", file.path()));
    }
    previous = &file.path();
  }
  return message;
}

}  // namespace backflip::sim
