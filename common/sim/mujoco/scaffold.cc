#include "common/sim/mujoco/scaffold.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/model_files.h"

namespace backflip::sim {
namespace {

namespace fs = std::filesystem;

constexpr double kStepSeconds = 0.0125;  // 80 decisions a second
constexpr double kEpisodeSeconds = 5;
constexpr double kClipSeconds = 1.5;
constexpr int kTrialSteps = 100;

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

// how many leading positions say where in the plane the robot is
int TravelledPositions(const mjModel* m) {
  if (m->njnt > 0 && m->jnt_type[0] == mjJNT_FREE) return 2;
  int count = 0;
  while (count < m->njnt && m->jnt_type[count] == mjJNT_SLIDE && !m->jnt_limited[count] &&
         std::abs(m->jnt_axis[3 * count + 2]) < 0.5) {
    ++count;
  }
  return count;
}

std::string TaskText(const mjModel* m, const std::string& model_file, const std::string& name) {
  const int frame_skip = std::max(1, static_cast<int>(std::lround(kStepSeconds / m->opt.timestep)));
  const double step = frame_skip * m->opt.timestep;
  const int episode = std::max(1, static_cast<int>(kEpisodeSeconds / step));
  const int clip = std::clamp(static_cast<int>(kClipSeconds / step), 1, std::min(1000, episode));
  std::string angles;
  for (int i = 0; i < m->njnt; ++i) {
    const char* joint = mj_id2name(m, mjOBJ_JOINT, i);
    if (m->jnt_type[i] == mjJNT_HINGE && !m->jnt_limited[i] && joint != nullptr && *joint != '\0') {
      absl::StrAppend(&angles, "  angle: \"", joint,
                      "\"   # has no limits: seen as sine and cosine\n");
    }
  }
  // the robot: the first body that can move
  int root = m->njnt > 0 ? m->jnt_bodyid[0] : std::min(1, static_cast<int>(m->nbody) - 1);
  const char* root_name = mj_id2name(m, mjOBJ_BODY, root);
  const std::string body = root_name == nullptr ? "" : root_name;
  const char* key = m->nkey > 0 ? mj_id2name(m, mjOBJ_KEY, 0) : nullptr;
  const bool has_key = key != nullptr && *key != '\0';
  // from: must leave at least one position
  const int travelled = TravelledPositions(m);
  const int from = travelled < m->nq ? travelled : 0;

  std::string text = absl::StrFormat(
      "# Written by `backflip task new`; docs/tasks.md explains every field.\n"
      "name: \"%s\"\n"
      "model: \"%s\"\n"
      "frame_skip: %d          # %.4g s a step\n"
      "episode_steps: %d     # %.3g s; nothing else ends an episode\n"
      "evaluation_steps: %d\n"
      "action_size: %d\n\n",
      name, model_file, frame_skip, step, episode, episode * step, 2 * episode, m->nu);
  absl::StrAppendFormat(&text, "observation {\n  qpos { from: %d }%s\n%s", from,
                        from > 0 ? "   # not where in the world it is" : "", angles);
  absl::StrAppend(&text, "  qvel { clip: 20 }\n}\n");
  absl::StrAppend(&text, "reset { ", has_key ? absl::StrCat("keyframe: \"", key, "\" ") : "",
                  "qpos_noise: 0.005 qvel_noise: 0.005 }\n");
  absl::StrAppendFormat(&text, "clip { steps: %d }     # %.3g s\n", clip, clip * step);
  absl::StrAppend(
      &text, "camera { ", body.empty() ? "" : absl::StrCat("track: \"", body, "\" "),
      absl::StrFormat("distance: %.3g azimuth: 90 elevation: -15 }\n\n", 2 * m->stat.extent));
  absl::StrAppend(&text,
                  "# What labelers are asked: say what you want to see.\n"
                  "question: \"Which clip comes closer to what you want?\"\n"
                  "instructions: \"Prefer the clip that comes closer to the goal. If you see "
                  "no difference, say so.\"\n\n");
  if (!body.empty()) {
    absl::StrAppendFormat(&text,
                          "quantity { name: \"height\" body { name: \"%s\" field: Z } }\n"
                          "quantity { name: \"x\" body { name: \"%s\" field: X } }\n"
                          "quantity { name: \"upright\" body { name: \"%s\" field: UPRIGHT } }\n"
                          "quantity { name: \"power\" power {} }\n\n"
                          "metric { name: \"distance\" change: \"x\" }\n"
                          "metric { name: \"top_height\" max: \"height\" }\n"
                          "metric { name: \"work\" sum: \"abs(power)\" }\n\n",
                          body, body, body);
  }
  absl::StrAppend(&text,
                  "# A true reward lets simulated teachers answer, and charts compare; people\n"
                  "# need none. For example:\n"
                  "# true_reward: \"height + upright - 0.001 * abs(power)\"\n");
  return text;
}

absl::Status Try(const Task& task) {
  ASSIGN_OR_RETURN(const auto environment, task.MakeEnvironment());
  RETURN_IF_ERROR(environment->Begin(1, Environment::Purpose::kEvaluation));
  std::vector<float> action(task.action_size());
  for (int i = 0; i < kTrialSteps; ++i) {
    environment->DrawUniforms(absl::MakeSpan(action));
    ASSIGN_OR_RETURN(const StepResult step, environment->Step(action.data()));
    if (step.end == experience::End::kDiverged) {
      return absl::FailedPreconditionError(
          absl::StrCat("the model's physics is unstable: it diverged after ", i + 1,
                       " steps of random actions. Try a smaller timestep, or smaller control "
                       "ranges"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Task>> ScaffoldTask(const std::string& model_path,
                                                         const std::string& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(model_path, ignored)) {
    return absl::NotFoundError(absl::StrCat(model_path, ": no such file"));
  }
  if (fs::exists(folder, ignored)) {
    return absl::AlreadyExistsError(
        absl::StrCat(folder, " is there already; name another folder for the task"));
  }
  // load the model, and remember which files it asks for
  const fs::path source = fs::absolute(model_path).parent_path();
  const std::string model_file = fs::path(model_path).filename().string();
  std::map<std::string, std::string> files;
  const FileReader reader = [&](const std::string& path) -> const std::string* {
    if (const auto found = files.find(path); found != files.end()) {
      return &found->second;
    }
    std::ifstream in(source / path, std::ios::binary);
    if (!in || !fs::is_regular_file(source / path)) return nullptr;
    return &(files[path] = std::string{std::istreambuf_iterator<char>(in), {}});
  };
  const auto model = LoadModel(model_file, reader);
  if (!model.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(model_path, ": ", model.status().message()));
  }
  if ((*model)->nu == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(model_path, ": the model has no actuator, so there is nothing to learn"));
  }
  // write beside the target, look at it, then move it there
  const fs::path target = fs::absolute(folder);
  Draft draft(target.string() + ".draft");
  fs::remove_all(draft.path(), ignored);
  for (const auto& [path, content] : files) {
    RETURN_IF_ERROR(WriteFile(draft.path() / path, content));
  }
  std::string name = target.filename().string();
  if (name.empty()) name = target.parent_path().filename().string();
  RETURN_IF_ERROR(
      WriteFile(draft.path() / kTaskFile, TaskText(model->get(), model_file, TaskName(name))));
  ASSIGN_OR_RETURN(auto task, Task::FromFolder(draft.path().string()));
  RETURN_IF_ERROR(Try(*task));
  RETURN_IF_ERROR(draft.MoveTo(target.string()));
  return task;
}

}  // namespace backflip::sim
