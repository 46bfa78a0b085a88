// What MuJoCo draws of tasks, for the comparison with what the pages draw.
//   silhouettes WIDTH HEIGHT FOLDER TASK_OR_MODEL …
// Prints a line of JSON for each: {"name"; "glb": file in FOLDER of the scene; "moments":
// [{"poses": [bodies * 7], "seen": [pixel runs: what, count, …] (a body, -1: nothing, -2: a plane),
// "share": of the robot's width or height in the picture's, "inside": whether no edge cuts it}];
// "parts": [[body, x, y, z]] of the first moment}, or {"name", "error"}. A model becomes a task
// first.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "common/sim/mujoco/render.h"
#include "common/sim/mujoco/robot.h"
#include "common/sim/mujoco/scaffold.h"
#include "common/sim/mujoco/scene.h"
#include "common/sim/mujoco/trial.h"
#include "nlohmann/json.hpp"

namespace backflip::sim {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kSteps = 120;
constexpr int kMoments = 4;

struct Size {
  int width, height;
};

json Runs(const std::vector<int>& seen) {
  json runs = json::array();
  for (size_t i = 0, end = 0; i < seen.size(); i = end) {
    while (end < seen.size() && seen[end] == seen[i]) ++end;
    runs.push_back(seen[i]);
    runs.push_back(end - i);
  }
  return runs;
}

// How much of the picture the robot takes, and whether all of it is in there.
void AddFrame(const std::vector<int>& seen, Size size, const std::vector<bool>& robot, bool soft,
              json* moment) {
  int left = size.width, right = -1, top = size.height, bottom = -1;
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const int body = seen[y * size.width + x];
      if (body < 0 || !(robot[body] || (soft && body == 0))) continue;
      left = std::min(left, x);
      right = std::max(right, x);
      top = std::min(top, y);
      bottom = std::max(bottom, y);
    }
  }
  (*moment)["share"] = std::max(static_cast<double>(right - left + 1) / size.width,
                                static_cast<double>(bottom - top + 1) / size.height);
  (*moment)["inside"] =
      right >= 0 && left > 0 && right < size.width - 1 && top > 0 && bottom < size.height - 1;
}

json Parts(const mjModel* model, int keyframe, const std::vector<double>& states) {
  const DataPtr data(mj_makeData(model));
  if (keyframe >= 0) mj_resetDataKeyframe(model, data.get(), keyframe);
  mj_setState(model, data.get(), states.data(), mjSTATE_FULLPHYSICS);
  mj_kinematics(model, data.get());
  const VisibleGroups groups(model);
  json parts = json::array();
  const auto add = [&](int body, const mjtNum* place) {
    parts.push_back({body - 1, place[0], place[1], place[2]});
  };
  for (int i = 0; i < model->ngeom; ++i) {
    if (groups.Show(model->geom_group[i]) && model->geom_type[i] != mjGEOM_PLANE &&
        ColourOf(model, model->geom_rgba + 4 * i, model->geom_matid[i])[3] > 0) {
      add(model->geom_bodyid[i], data->geom_xpos + 3 * i);
    }
  }
  for (int i = 0; i < model->nsite; ++i) {
    if (groups.Show(model->site_group[i]) &&
        ColourOf(model, model->site_rgba + 4 * i, model->site_matid[i])[3] > 0) {
      add(model->site_bodyid[i], data->site_xpos + 3 * i);
    }
  }
  return parts;
}

absl::StatusOr<json> Look(const std::string& path, const std::string& folder, Size size) {
  const std::string name = fs::path(path).stem().string();
  std::shared_ptr<const Task> task;
  if (fs::is_directory(path)) {
    ASSIGN_OR_RETURN(task, Task::FromFolder(path));
  } else {
    const std::string made = absl::StrCat(folder, "/", name);
    fs::remove_all(made);
    ASSIGN_OR_RETURN(const auto draft, Draft::Beside(made));
    ASSIGN_OR_RETURN(const NewTask scaffold,
                     ScaffoldTask(path, made, *draft, [](absl::string_view) {}));
    task = scaffold.task;
  }
  ASSIGN_OR_RETURN(const MujocoTask* const mujoco, MujocoTask::Of(*task));
  const mjModel* model = mujoco->model();
  const Robot robot = RobotOf(model);
  ASSIGN_OR_RETURN(const Trial trial, TryRandomActions(model, robot, task->task().frame_skip(),
                                                       kSteps, absl::InfiniteDuration()));
  const size_t moments = trial.states.size() / task->state_size();
  ASSIGN_OR_RETURN(const auto renderer, Renderer::Create(*task, size.width, size.height, 0));
  ASSIGN_OR_RETURN(const std::string glb, SceneGlb(*task));
  json look = {{"name", name}, {"glb", absl::StrCat(folder, "/", name, ".glb")}};
  std::ofstream(look["glb"].get<std::string>(), std::ios::binary) << glb;
  for (int i = 0; i < kMoments; ++i) {
    const size_t moment = i * (moments - 1) / (kMoments - 1);
    const absl::Span<const double> state =
        absl::MakeSpan(trial.states).subspan(moment * task->state_size(), task->state_size());
    const std::vector<int> seen = renderer->BodiesSeen(state.data(), /*cut=*/true);
    json shown = {{"poses", task->BodyPoses(state)}, {"seen", Runs(seen)}};
    AddFrame(seen, size, robot.bodies, model->nskin + model->nflex > 0, &shown);
    look["moments"].push_back(std::move(shown));
  }
  look["parts"] = Parts(model, mujoco->keyframe(), trial.states);
  return look;
}

}  // namespace
}  // namespace backflip::sim

int main(int argc, char** argv) {
  for (int i = 4; i < argc; ++i) {
    const auto look =
        backflip::sim::Look(argv[i], argv[3], {std::atoi(argv[1]), std::atoi(argv[2])});
    const nlohmann::json line =
        look.ok() ? *look : nlohmann::json{{"name", argv[i]}, {"error", look.status().ToString()}};
    std::cout << line.dump() << std::endl;
  }
}
