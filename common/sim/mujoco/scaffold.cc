#include "common/sim/mujoco/scaffold.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/model_files.h"
#include "common/sim/mujoco/robot.h"
#include "common/sim/mujoco/task_text.h"
#include "common/sim/mujoco/trial.h"
#include "common/sim/mujoco/urdf.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kTrialLimit = absl::Seconds(2);

absl::Status WriteFile(const fs::path& path, const std::string& content) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error)
    return absl::ErrnoToStatus(error.value(),
                               absl::StrCat("could not make ", path.parent_path().string()));
  errno = 0;
  std::ofstream out(path, std::ios::binary);
  out << content;
  out.close();
  if (out) return absl::OkStatus();
  return absl::ErrnoToStatus(errno == 0 ? EIO : errno,
                             absl::StrCat("could not write ", path.string()));
}

std::string TaskName(const std::string& text) {
  std::string name;
  for (const char c : absl::AsciiStrToLower(text)) {
    name += absl::ascii_isalnum(c) ? c : '_';
  }
  if (name.empty() || !absl::ascii_isalpha(name[0])) name = "task_" + name;
  return name.substr(0, 64);
}

// Without a slash at its end.
fs::path Target(const std::string& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

// A model with every file that it was made of.
struct LoadedModel {
  ModelPtr model;
  std::string path;                          // of the model, within `files`
  std::map<std::string, std::string> files;  // by their paths
  std::vector<std::string> remarks;
};

// Why a file at a full path is not part of the model.
absl::Status WhyMissing(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return absl::NotFoundError(absl::StrCat("it names ", path.string(), ": no such file"));
  }
  if (!fs::is_regular_file(path, ignored)) {
    return absl::InvalidArgumentError(
        absl::StrCat("it names ", path.string(), ", which is no file"));
  }
  errno = 0;
  if (!std::ifstream(path, std::ios::binary)) {
    return absl::ErrnoToStatus(errno, absl::StrCat("could not read ", path.string()));
  }
  return absl::InvalidArgumentError(absl::StrCat("it names ", path.string(), ", more than ",
                                                 kFoldersUp,
                                                 " folders above it: copy that nearer to it"));
}

// Reads `path`, relative to `root`, with all that it names below there. `outside`: it may name
// what is above.
absl::StatusOr<LoadedModel> LoadBelow(const fs::path& root, const fs::path& path, bool* outside) {
  LoadedModel loaded{.model = nullptr, .path = path.string(), .files = {}, .remarks = {}};
  const FileReader reader = [&](const std::string& name) -> const std::string* {
    if (const auto found = loaded.files.find(name); found != loaded.files.end()) {
      return &found->second;
    }
    std::error_code ignored;
    std::ifstream in(root / name, std::ios::binary);
    if (!in || !fs::is_regular_file(root / name, ignored)) return nullptr;
    return &(loaded.files[name] = std::string{std::istreambuf_iterator<char>(in), {}});
  };
  const std::string* text = reader(loaded.path);
  if (text != nullptr && IsUrdf(*text)) {
    ASSIGN_OR_RETURN(std::string mjcf, MjcfOfUrdf((root / path).string(), *text, &loaded.remarks));
    loaded.files.clear();
    loaded.path = fs::path(path).replace_extension(".xml").string();
    loaded.files[loaded.path] = std::move(mjcf);
  }
  std::string missing;
  auto model = LoadModel(loaded.path, reader, &missing);
  if (!missing.empty()) {
    *outside = absl::StartsWith(missing, "../");
    return WhyMissing((root / missing).lexically_normal());
  }
  RETURN_IF_ERROR(model.status());
  loaded.model = *std::move(model);
  for (const auto& [name, content] : loaded.files) {
    if (!IsUtf8(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the name of its file ", absl::CHexEscape(name), " is not UTF-8: rename the file"));
    }
  }
  return loaded;
}

// From the nearest folder that holds all files.
absl::StatusOr<LoadedModel> Load(const std::string& model_path) {
  const fs::path model = fs::absolute(model_path).lexically_normal();
  fs::path root = model.parent_path();
  for (int up = 0;; ++up, root = root.parent_path()) {
    bool outside = false;
    auto loaded = LoadBelow(root, model.lexically_relative(root), &outside);
    if (loaded.ok()) return loaded;
    if (outside && up < kFoldersUp && root.has_relative_path()) continue;
    return absl::InvalidArgumentError(absl::StrCat(model_path, ": ", loaded.status().message()));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Draft>> Draft::Beside(const std::string& folder) {
  std::unique_ptr<Draft> draft(new Draft);
  const fs::path target = Target(folder), parent = target.parent_path();
  draft->target_ = target.string();
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path above = parent; !fs::exists(above, error) && above.has_relative_path();
       above = above.parent_path()) {
    missing.push_back(above);
  }
  for (; !missing.empty(); missing.pop_back()) {
    if (mkdir(missing.back().c_str(), 0777) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("could not make ", missing.back().string()));
    }
    draft->above_.push_back(missing.back().string());
  }
  std::string name = (parent / ".backflip-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("could not write in ", parent.string()));
  }
  draft->outer_ = name;
  // mkdtemp's own folder is for its owner alone
  draft->path_ = (fs::path(name) / "task").string();
  if (mkdir(draft->path_.c_str(), 0777) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("could not make ", draft->path_));
  }
  return draft;
}

Draft::~Draft() {
  std::error_code ignored;
  if (!outer_.empty()) fs::remove_all(outer_, ignored);
  // those that hold something stay
  for (; !above_.empty(); above_.pop_back()) rmdir(above_.back().c_str());
}

absl::Status Draft::Keep() {
  if (std::rename(path_.c_str(), target_.c_str()) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("could not make ", target_));
}

absl::StatusOr<NewTask> ScaffoldTask(const std::string& model_path, const std::string& folder,
                                     const Draft& draft,
                                     const std::function<void(absl::string_view)>& progress) {
  std::error_code ignored;
  if (fs::is_directory(model_path, ignored)) {
    return absl::InvalidArgumentError(
        absl::StrCat(model_path, " is a folder: name the model's file in it"));
  }
  if (!fs::is_regular_file(model_path, ignored)) {
    return absl::NotFoundError(absl::StrCat(model_path, ": no such file"));
  }
  if (fs::exists(folder, ignored)) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder, " is there already: name another folder, backflip task new ",
                     model_path, " FOLDER"));
  }
  progress("reading the model");
  ASSIGN_OR_RETURN(LoadedModel loaded, Load(model_path));
  const mjModel* const model = loaded.model.get();
  if (model->nu == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        model_path,
        ": the model has no actuator that takes a control, so there is nothing to "
        "learn: add an <actuator>, for example <motor joint=\"…\" ctrlrange=\"-1 1\"/>"));
  }
  if (model->nv == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(model_path,
                     ": the model has no joint, so nothing in it moves: add a <joint> or "
                     "<freejoint/> to its bodies"));
  }
  progress("trying random actions");
  const Robot robot = RobotOf(model);
  const NewTaskTimes times(model);
  auto tried = TryRandomActions(model, robot, times.frame_skip, times.episode_steps, kTrialLimit);
  if (!tried.ok()) {
    return absl::Status(tried.status().code(),
                        absl::StrCat(model_path, ": ", tried.status().message()));
  }
  Trial& trial = *tried;
  const auto start_end = trial.states.begin() + mj_stateSize(model, mjSTATE_FULLPHYSICS);
  if (!std::all_of(trial.states.begin(), start_end, [](double x) { return std::isfinite(x); })) {
    return absl::InvalidArgumentError(absl::StrCat(
        model_path,
        ": its first keyframe has a number that is nan or infinite: give a finite one"));
  }
  progress("writing the task");
  const fs::path written = draft.path();
  for (const auto& [path, content] : loaded.files) {
    RETURN_IF_ERROR(WriteFile(written / path, content));
  }
  const fs::path target = Target(folder);
  RETURN_IF_ERROR(WriteFile(
      written / kTaskFile,
      NewTaskText(model, TaskName(target.filename().string()), loaded.path, robot, trial)));
  NewTask made;
  auto task = Task::FromFolder(draft.path());
  if (!task.ok()) {
    return absl::Status(task.status().code(),
                        absl::StrReplaceAll(task.status().message(), {{draft.path(), folder}}));
  }
  made.task = *std::move(task);
  made.remarks = std::move(loaded.remarks);
  for (std::string& remark : RemarksOn(model, robot, trial)) {
    made.remarks.push_back(std::move(remark));
  }
  made.states = std::move(trial.states);
  return made;
}

}  // namespace backflip::sim
