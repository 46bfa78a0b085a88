#include "common/sim/mujoco/model_files.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace backflip::sim {
namespace {

// Where a task's folder appears to MuJoCo. It lies deep within the mount, so that
// paths with .. still end at the reader, not on this machine's disk.
constexpr char kMount[] = "backflip";
constexpr char kHome[] = "backflip/0/1/2/3/4/5/6/7/8/task/";

struct Reading {
  const FileReader* reader;
  std::string escaped;  // a path that leaves the folder
};

int Open(mjResource* resource) {
  auto* reading = static_cast<Reading*>(resource->provider->data);
  absl::string_view name = resource->name;
  if (!absl::ConsumePrefix(&name, kHome)) {
    reading->escaped = std::string(name.substr(name.rfind('/') + 1));
    return 0;
  }
  const std::string path = NormalizePath(std::string(name));
  const std::string* content = (*reading->reader)(path);
  if (content == nullptr) return 0;
  resource->data = const_cast<std::string*>(content);
  return 1;
}

int Read(mjResource* resource, const void** buffer) {
  const auto* content = static_cast<const std::string*>(resource->data);
  *buffer = content->data();
  return static_cast<int>(content->size());
}

void Close(mjResource* resource) { resource->data = nullptr; }
int Mount(mjResource*) { return 1; }

// Warnings are counted in mjData, where Environment looks for them.
void Log(const mjLogMessage* message) {
  if (message->level != mjLOG_ERROR) return;
  std::fprintf(stderr, "MuJoCo: %s\n", message->subject);
  std::abort();
}

}  // namespace

absl::StatusOr<ModelPtr> LoadModel(const std::string& path, const FileReader& reader) {
  static std::once_flag once;
  std::call_once(once, [] { mju_setLogHandler(Log); });

  Reading reading{&reader, ""};
  mjpResourceProvider provider{};
  provider.prefix = kMount;
  provider.open = Open;
  provider.read = Read;
  provider.close = Close;
  provider.mount = Mount;
  provider.unmount = Mount;
  provider.data = &reading;
  mjVFS vfs;
  mj_defaultVFS(&vfs);
  mj_mountVFS(&vfs, kMount, &provider);
  char error[1000] = "";
  ModelPtr model(mj_loadXML(absl::StrCat(kHome, path).c_str(), &vfs, error, sizeof(error)));
  mj_deleteVFS(&vfs);
  if (model == nullptr && !reading.escaped.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the model names ", reading.escaped,
                                                   ", which is outside of the task's folder"));
  }
  if (model == nullptr) return absl::InvalidArgumentError(error);
  // files that MuJoCo took from the disk, past the reader
  for (int i = 0; i < model->npaths;) {
    const std::string name = model->paths + i;
    if (!name.empty() && name[0] == '/') {
      return absl::InvalidArgumentError(
          absl::StrCat("the model names ", name, "; paths must be relative"));
    }
    i += static_cast<int>(name.size()) + 1;
  }
  return model;
}

}  // namespace backflip::sim
