#include "services/cli/replay.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/nn/policy.h"
#include "common/nn/snapshot.h"
#include "common/run/snapshot_client.h"
#include "common/sim/clip.h"
#include "common/sim/render.h"
#include "common/sim/simulator.h"
#include "services/cli/report.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// Runs one episode; `policy` null: random actions.
absl::Status Film(std::shared_ptr<const sim::CompiledTask> task,
                  std::shared_ptr<const nn::Policy> policy, uint64_t seed,
                  int steps, const std::string& path) {
  ASSIGN_OR_RETURN(const auto simulator, sim::Simulator::Start(task, 1));
  sim::Ticket ticket;
  ticket.evaluation = policy != nullptr;
  ticket.policy = std::move(policy);
  ticket.environments.push_back({.reset_seed = seed, .state = {}});
  ticket.steps = steps;
  ASSIGN_OR_RETURN(const sim::Rollout rollout, simulator->Run(ticket));
  const std::vector<double> states = sim::FirstEpisodeStates(
      *task, rollout.trajectories[0], rollout.recordings[0]);
  sim::AnimationOptions options;
  options.moments_per_second = 1 / task->step_seconds();
  return sim::RenderGif(task, states, options, path);
}

// A name for the task, from that of the model's file.
std::string TaskName(const std::string& stem) {
  std::string name;
  for (const char c : stem) {
    const bool keeps = std::isalnum(static_cast<unsigned char>(c)) != 0;
    name += keeps ? static_cast<char>(std::tolower(static_cast<unsigned char>(c)))
                  : '_';
  }
  if (name.empty() || std::isalpha(static_cast<unsigned char>(name[0])) == 0) {
    name = "task_" + name;
  }
  return name.substr(0, 64);
}

// Aimed at a control step of this length.
constexpr double kStepSeconds = 0.02;

std::string FirstTask(const std::string& file, const std::string& xml,
                      int frame_skip) {
  // Where the model is in the world must not matter, as far as its text tells:
  // the x and y of a free body, or the first slide of a planar one.
  const size_t begin = xml.find("<worldbody");
  const std::string world = begin == xml.npos ? xml : xml.substr(begin);
  int from = 0;
  std::smatch match;
  if (std::regex_search(world, std::regex("<freejoint|type=\"free\""))) {
    from = 2;
  } else if (std::regex_search(world, match, std::regex("<joint\\b[^>]*>")) &&
             match.str().find("type=\"slide\"") != std::string::npos) {
    from = 1;
  }
  std::string body;
  if (std::regex_search(world, match,
                        std::regex("<body\\b[^>]*?\\bname=\"([^\"]+)\""))) {
    body = match[1];
  }
  std::string text = absl::StrFormat(
      "# A first task for %s. docs/tasks.md explains every field.\n"
      "name: \"%s\"\n"
      "model: \"%s\"\n"
      "frame_skip: %d\n"
      "episode_steps: 300\n"
      "evaluation_steps: 1000\n"
      "\n"
      "# What the policy sees: positions%s, and velocities.\n"
      "observation { qpos { from: %d } qvel { clip: 10 } }\n"
      "reset { qpos_noise: 0.005 qvel_noise: 0.005 }\n"
      "clip { steps: 60 }\n"
      "\n"
      "# What people are asked over each pair of clips: put your wish here.\n"
      "question: \"Which clip is better?\"\n",
      file, TaskName(fs::path(file).stem().string()), file, frame_skip,
      from > 0 ? " but where it stands" : "", from);
  if (!body.empty()) {
    absl::StrAppendFormat(
        &text,
        "\n# For charts: how high the first body is, and how far it goes.\n"
        "quantity { name: \"x\" body { name: \"%s\" field: X } }\n"
        "quantity { name: \"z\" body { name: \"%s\" field: Z } }\n"
        "metric { name: \"distance\" change: \"x\" }\n"
        "metric { name: \"highest\" max: \"z\" }\n"
        "\n"
        "# A simulated teacher needs a true reward of each step, from the "
        "quantities:\n"
        "# true_reward: \"z\"\n",
        body, body);
  }
  return text;
}

}  // namespace

v1::TaskInfo InfoOf(const sim::CompiledTask& task) {
  v1::TaskInfo info;
  info.set_name(task.name());
  info.set_bundle_hash(task.bundle().hash);
  info.set_fingerprint(task.fingerprint());
  info.set_observation_size(task.observation_size());
  info.set_action_size(task.action_size());
  for (int i = 0; i < task.action_size(); ++i) {
    info.add_action_low(-1);
    info.add_action_high(1);
  }
  info.set_episode_steps(task.task().episode_steps());
  info.set_evaluation_steps(task.task().evaluation_steps());
  info.set_clip_steps(task.task().clip().steps());
  info.set_has_true_reward(task.has_true_reward());
  for (const std::string& name : task.metric_names()) info.add_metrics(name);
  info.set_question(task.task().question());
  info.set_step_seconds(task.step_seconds());
  info.set_playback_fps(task.task().clip().playback_fps());
  return info;
}

absl::Status FilmSnapshot(const Operator& broker, const v1::Run& run,
                          int64_t version, uint64_t seed,
                          const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bundle,
                   run::GetBundle(broker.broker(), run.task().bundle_hash(),
                                  broker.stop()));
  ASSIGN_OR_RETURN(auto task, sim::CompiledTask::FromBundle(bundle));
  v1::GetSnapshotRequest request;
  request.set_run_id(run.id());
  request.set_kind(v1::POLICY);
  request.set_version(version != 0 ? version : run.best_version());
  ASSIGN_OR_RETURN(const auto fetched,
                   run::GetSnapshot(broker.broker(), request, broker.stop()));
  ASSIGN_OR_RETURN(const nn::Snapshot snapshot,
                   nn::Snapshot::Decode(fetched.second));
  ASSIGN_OR_RETURN(nn::Policy policy, nn::Policy::FromSnapshot(snapshot));
  const int steps = task->task().evaluation_steps();
  return Film(std::move(task),
              std::make_shared<const nn::Policy>(std::move(policy)), seed, steps,
              path);
}

absl::StatusOr<std::string> WriteFirstTask(const std::string& model_path) {
  std::error_code error;
  const fs::path model = fs::canonical(model_path, error);
  if (error) {
    return absl::NotFoundError(
        absl::StrCat("there is no model ", model_path, ": ", error.message()));
  }
  const fs::path folder = model.parent_path();
  const fs::path file = folder / sim::kTaskFile;
  if (fs::exists(file, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(file.string(), " exists already, and is left as it is. Move "
                     "it away for a new one, or put the model into a folder of "
                     "its own."));
  }
  std::ifstream stream(model);
  std::stringstream xml;
  xml << stream.rdbuf();
  const std::string name = model.filename().string();

  const auto write = [&](int frame_skip)
      -> absl::StatusOr<std::shared_ptr<const sim::CompiledTask>> {
    RETURN_IF_ERROR(
        WriteFile(file.string(), FirstTask(name, xml.str(), frame_skip)));
    return sim::CompiledTask::FromFolder(folder.string());
  };
  // once for the model's own time step, from which the frame skip follows
  auto task = write(1);
  if (task.ok()) {
    task = write(std::clamp<int>(
        std::lround(kStepSeconds / (*task)->step_seconds()), 1, 1000));
  }
  if (!task.ok()) {
    fs::remove(file, error);
    return task.status();
  }
  RETURN_IF_ERROR(Film(*task, nullptr, 1, (*task)->task().episode_steps(),
                       (folder / "preview.gif").string()));
  return folder.string();
}

}  // namespace backflip::cli
