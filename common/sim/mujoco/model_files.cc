#include "common/sim/mujoco/model_files.h"

#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/sim/mujoco/mujoco_errors.h"

namespace backflip::sim {
namespace {

// Where a task's folder appears to MuJoCo. It lies deep within the mount, so that
// paths with .. still end at the reader, not on this machine's disk.
constexpr char kMount[] = "backflip";
constexpr char kHome[] = "backflip/0/1/2/3/4/5/6/7/8/task/";

struct Reading {
  const FileReader* reader;
  std::string escaped;   // a path that leaves the folder
  std::string absolute;  // one that MuJoCo would take from the disk, past the reader
};

// The first absolute path that an XML file names: in an attribute that names a file or a folder,
// or that begins with an escape, which may hide one. Empty: there is none.
absl::string_view AbsolutePathIn(absl::string_view xml) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  const auto is_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (size_t at = xml.find('='); at != xml.npos; at = xml.find('=', at + 1)) {
    size_t end = at, value = at + 1;
    while (end > 0 && is_space(xml[end - 1])) --end;
    size_t begin = end;
    while (begin > 0 && is_name(xml[begin - 1])) --begin;
    const absl::string_view name = xml.substr(begin, end - begin);
    if (!absl::StrContains(name, "file") && !absl::EndsWith(name, "dir")) continue;
    while (value < xml.size() && is_space(xml[value])) ++value;
    if (value + 1 >= xml.size() || (xml[value] != '"' && xml[value] != '\'')) continue;
    const char quote = xml[value++];
    if (xml[value] == '/' || xml[value] == '&') {
      return xml.substr(value, xml.find(quote, value) - value);
    }
  }
  return "";
}

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
  // included files are opened without a word to the reader if their paths are absolute
  const size_t first = content->find_first_not_of("\xef\xbb\xbf \t\r\n");
  if (first != content->npos && (*content)[first] == '<') {
    reading->absolute = std::string(AbsolutePathIn(*content));
    if (!reading->absolute.empty()) return 0;
  }
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

absl::Status MustBeRelative(absl::string_view path) {
  return absl::InvalidArgumentError(
      absl::StrCat("the model names ", path, "; paths must be relative"));
}

// MuJoCo's words on one line, with what to do about some of them.
std::string Sentence(absl::string_view words) {
  std::string line = absl::StrReplaceAll(absl::StripAsciiWhitespace(words), {{"\n", " "}});
  if (absl::StrContains(line, "XML_ERROR_PARSING ") ||
      absl::StrContains(line, "XML_ERROR_EMPTY_DOCUMENT")) {
    absl::StrAppend(&line,
                    ": is it a text file, in UTF-8? (of a compiled model, .mjb, give the XML)");
  } else if (absl::StrContains(line, "plugin") && absl::StrContains(line, "not found")) {
    absl::StrAppend(&line,
                    ": Backflip loads no plugins of MuJoCo; leave the <extension> out, and "
                    "what uses it");
  }
  return line;
}

}  // namespace

absl::StatusOr<ModelPtr> LoadModel(const std::string& path, const FileReader& reader) {
  InstallMujocoErrorHandler();
  Reading reading{&reader, "", ""};
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
  if (!reading.absolute.empty()) return MustBeRelative(reading.absolute);
  if (model == nullptr && !reading.escaped.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the model names ", reading.escaped,
                                                   ", which is outside of the task's folder"));
  }
  if (model == nullptr) return absl::InvalidArgumentError(Sentence(error));
  // files that MuJoCo took from the disk, past the reader
  for (int i = 0; i < model->npaths;) {
    const std::string name = model->paths + i;
    if (!name.empty() && name[0] == '/') return MustBeRelative(name);
    i += static_cast<int>(name.size()) + 1;
  }
  return model;
}

}  // namespace backflip::sim
