#include "common/sim/mujoco/scaffold.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
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

constexpr int kFoldersUp = 3;  // above the model's own, where its files may be
constexpr absl::Duration kTrialLimit = absl::Seconds(2);

// A folder that is removed again unless it is kept.
class Draft {
 public:
  explicit Draft(fs::path path) : path_(std::move(path)) {}
  ~Draft() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }
  absl::Status MoveTo(const std::string& folder) {
    std::error_code error;
    fs::rename(path_, folder, error);
    if (error) {
      return absl::InternalError(absl::StrCat("could not make ", folder, ": ", error.message()));
    }
    kept_ = true;
    return absl::OkStatus();
  }

 private:
  const fs::path path_;
  bool kept_ = false;
};

absl::Status WriteFile(const fs::path& path, const std::string& content) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream out(path, std::ios::binary);
  out << content;
  out.close();
  if (error || !out) {
    return absl::PermissionDeniedError(absl::StrCat("could not write ", path.string()));
  }
  return absl::OkStatus();
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

// Reads `path`, relative to `root`, with all that it names below there.
absl::StatusOr<LoadedModel> LoadBelow(const fs::path& root, const fs::path& path) {
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
  ASSIGN_OR_RETURN(loaded.model, LoadModel(loaded.path, reader));
  for (const auto& [name, content] : loaded.files) {
    if (!IsUtf8(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the name of its file ", absl::CHexEscape(name), " is not UTF-8: rename the file"));
    }
  }
  return loaded;
}

// From the nearest folder that holds all files; the error is that of the model's own folder.
absl::StatusOr<LoadedModel> Load(const std::string& model_path) {
  const fs::path model = fs::absolute(model_path).lexically_normal();
  fs::path root = model.parent_path();
  absl::StatusOr<LoadedModel> loaded = LoadBelow(root, model.filename());
  absl::Status error = loaded.status();
  for (int i = 0; !loaded.ok() && i < kFoldersUp && root.has_relative_path(); ++i) {
    root = root.parent_path();
    loaded = LoadBelow(root, model.lexically_relative(root));
  }
  if (loaded.ok()) return loaded;
  return absl::InvalidArgumentError(absl::StrCat(model_path, ": ", error.message()));
}

}  // namespace

std::string DraftOf(const std::string& folder) { return Target(folder).string() + ".draft"; }

absl::StatusOr<NewTask> ScaffoldTask(const std::string& model_path, const std::string& folder,
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
  progress("writing the task");
  // write beside the target, look at it, then move it there
  Draft draft(DraftOf(folder));
  fs::remove_all(draft.path(), ignored);
  for (const auto& [path, content] : loaded.files) {
    RETURN_IF_ERROR(WriteFile(draft.path() / path, content));
  }
  const fs::path target = Target(folder);
  RETURN_IF_ERROR(WriteFile(
      draft.path() / kTaskFile,
      NewTaskText(model, TaskName(target.filename().string()), loaded.path, robot, trial)));
  NewTask made;
  auto task = Task::FromFolder(draft.path().string());
  if (!task.ok()) {
    return absl::Status(
        task.status().code(),
        absl::StrReplaceAll(task.status().message(), {{draft.path().string(), folder}}));
  }
  made.task = *std::move(task);
  RETURN_IF_ERROR(draft.MoveTo(target.string()));
  made.remarks = std::move(loaded.remarks);
  for (std::string& remark : RemarksOn(model, robot, trial)) {
    made.remarks.push_back(std::move(remark));
  }
  made.states = std::move(trial.states);
  return made;
}

}  // namespace backflip::sim
