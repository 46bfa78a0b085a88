#include "common/sim/mujoco/model_files.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/model_xml.h"
#include "common/sim/mujoco/mujoco_errors.h"

namespace backflip::sim {
namespace {

// Where a task's folder appears to MuJoCo. It lies deep within the mount, more than twice
// kMostFoldersUp, so that paths with .. still end at the reader, not on this machine's disk.
constexpr char kMount[] = "backflip";
constexpr char kHome[] = "backflip/0/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h/i/j/task/";

struct Reading {
  const FileReader* reader;
  std::string missing;   // the last that the reader has not, from the folder
  std::string escaped;   // the first that leaves the folder, likewise
  std::string absolute;  // one that MuJoCo would take from the disk, past the reader
  std::string pointer;   // one whose content Git LFS has
};

// A path below the mount, from the task's folder.
std::string FromHome(absl::string_view name) {
  absl::string_view home = kHome;
  while (!home.empty()) {
    const absl::string_view folder = home.substr(0, home.find('/') + 1);
    if (!absl::ConsumePrefix(&name, folder)) break;
    home.remove_prefix(folder.size());
  }
  std::string path;
  for (const char c : home) {
    if (c == '/') path += "../";
  }
  return absl::StrCat(path, name);
}

int Open(mjResource* resource) {
  auto* reading = static_cast<Reading*>(resource->provider->data);
  absl::string_view name = resource->name;
  if (!absl::ConsumePrefix(&name, kHome)) {
    if (reading->escaped.empty()) reading->escaped = FromHome(name);
    return 0;
  }
  const std::string path = NormalizePath(std::string(name));
  const std::string* content = (*reading->reader)(path);
  if (content == nullptr) {
    reading->missing = std::string(name);
    return 0;
  }
  if (IsLfsPointer(*content)) {
    reading->pointer = path;
    return 0;
  }
  // files by absolute paths, or past the mount, are opened without a word to the reader
  reading->absolute = LeavingPathIn(*content);
  if (!reading->absolute.empty()) return 0;
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
  return absl::InvalidArgumentError(absl::StrCat("the model names ", path,
                                                 "; paths must be relative, and at most ",
                                                 kMostFoldersUp, " folders up"));
}

// What else a file is that should be a model; empty: nothing that is known.
std::string KindOf(absl::string_view content) {
  if (absl::StartsWith(content, "\x1f\x8b")) return "it is packed with gzip: unpack it";
  const std::string begin = absl::AsciiStrToLower(content.substr(0, 1000));
  if (absl::StrContains(begin, "<!doctype html") || absl::StrContains(begin, "<html")) {
    return "it is a web page: download the raw file";
  }
  if (absl::StrContains(begin, "<sdf")) {
    return "it is Gazebo's SDF: export the robot as URDF or MJCF";
  }
  if (absl::StrContains(begin, "<mujocoinclude")) {
    return "it is a part of a model: give the file that includes it";
  }
  return "";
}

// What can be done about an error of MuJoCo's; empty: nothing is known.
std::string AdviceOn(absl::string_view line) {
  if (absl::StrContains(line, "XML_ERROR_PARSING ") ||
      absl::StrContains(line, "XML_ERROR_PARSING_TEXT") ||
      absl::StrContains(line, "XML_ERROR_EMPTY_DOCUMENT") ||
      absl::StrContains(line, "empty file")) {
    return "is it a text file, in UTF-8? (of a compiled model, .mjb, give the XML)";
  }
  if (absl::StrContains(line, "XML_ERROR_")) return "the XML is broken there, or cut off";
  if (absl::StrContains(line, "plugin") && absl::StrContains(line, "not found")) {
    return "Backflip loads no plugins of MuJoCo; leave the <extension> out, and what uses it";
  }
  if (absl::StrContains(line, "ASCII file?")) {
    return "MuJoCo reads binary STL: save the mesh as that, or as OBJ";
  }
  return "";
}

// What is said of the files that it did not get; OK: it got all.
absl::Status FilesError(const Reading& reading, absl::string_view words, std::string* missing) {
  if (!reading.absolute.empty()) return MustBeRelative(reading.absolute);
  if (!reading.pointer.empty()) {
    return LfsPointerError(reading.pointer);
  }
  const bool not_there =
      absl::StrContains(words, "pening file") || absl::StrContains(words, "ould not open");
  const std::string& path = !reading.escaped.empty() ? reading.escaped : reading.missing;
  if (path.empty() || (reading.escaped.empty() && !not_there)) return absl::OkStatus();
  if (missing != nullptr) *missing = path;
  return absl::InvalidArgumentError(
      absl::StrCat("the model names ", path, ", which is ",
                   reading.escaped.empty() ? "not there" : "outside of the task's folder"));
}

}  // namespace

bool IsLfsPointer(absl::string_view content) {
  return absl::StartsWith(content, "version https://git-lfs.github.com/spec/");
}

absl::Status LfsPointerError(absl::string_view path) {
  return absl::InvalidArgumentError(absl::StrCat(
      path, " is only Git LFS's pointer to the file: `git lfs pull` in its repository fetches it"));
}

std::string MujocoSentence(absl::string_view words) {
  constexpr absl::string_view kNoDecoder = "no decoder found for mesh file '";
  if (const size_t at = words.find(kNoDecoder); at != words.npos) {
    absl::string_view file = words.substr(at + kNoDecoder.size());
    file = file.substr(0, file.find('\''));
    return absl::StrCat("MuJoCo reads meshes as STL, OBJ and MSH: convert ",
                        file.substr(file.rfind('/') + 1), " (Blender, or Python's trimesh)");
  }
  std::string line = absl::StrReplaceAll(words, {{"\n", " "}, {kHome, ""}});
  absl::RemoveExtraAsciiWhitespace(&line);
  const std::string advice = AdviceOn(line);
  return advice.empty() ? line : absl::StrCat(line, ": ", advice);
}

absl::StatusOr<ModelPtr> LoadModel(const std::string& path, const FileReader& reader,
                                   std::string* missing) {
  InstallMujocoErrorHandler();
  Reading reading{&reader, "", "", "", ""};
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
  if (model == nullptr) {
    RETURN_IF_ERROR(FilesError(reading, error, missing));
    const std::string* content = reader(path);
    const std::string kind = content == nullptr ? "" : KindOf(*content);
    return absl::InvalidArgumentError(kind.empty() ? MujocoSentence(error) : kind);
  }
  if (!(model->opt.timestep > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("its <option timestep> is ", model->opt.timestep, "; must be greater than 0"));
  }
  // files that MuJoCo took from the disk, past the reader
  for (int i = 0; i < model->npaths;) {
    const std::string name = model->paths + i;
    if (!name.empty() && name[0] == '/') return MustBeRelative(name);
    i += static_cast<int>(name.size()) + 1;
  }
  return model;
}

}  // namespace backflip::sim
