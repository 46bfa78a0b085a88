#include "cli/output/replay.h"

#include <utility>
#include <vector>

#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/nn/policy.h"
#include "common/nn/snapshot.h"
#include "common/sim/clip.h"
#include "common/sim/mujoco/render.h"
#include "common/sim/mujoco/scaffold.h"
#include "common/sim/mujoco/scene.h"
#include "common/sim/simulator.h"
#include "common/sim/trial.h"

namespace backflip::cli {
namespace {

constexpr absl::Duration kPreviewLimit = absl::Seconds(4);

// Runs one evaluation episode with mean actions.
absl::Status Film(std::shared_ptr<const sim::Task> task, std::shared_ptr<const nn::Policy> policy,
                  uint64_t seed, int steps, const std::string& path) {
  ASSIGN_OR_RETURN(const auto simulator, sim::Simulator::Start(task, 1));
  sim::Ticket ticket;
  ticket.evaluation = true;
  ticket.policy = std::move(policy);
  ticket.environments.push_back({.reset_seed = seed, .state = {}});
  ticket.steps = steps;
  ASSIGN_OR_RETURN(const sim::Rollout rollout, simulator->Run(ticket));
  const std::vector<double> states = sim::FirstEpisode(*task, rollout, steps).states;
  sim::AnimationOptions options;
  options.moments_per_second = 1 / task->step_seconds();
  return sim::RenderGif(*task, states, options, path);
}

}  // namespace

v1::TaskInfo InfoOf(const sim::Task& task) {
  v1::TaskInfo info;
  info.set_name(task.name());
  info.set_instructions(task.task().instructions());
  info.set_bundle_hash(task.bundle().hash);
  info.set_fingerprint(task.fingerprint());
  info.set_observation_size(task.observation_size());
  info.set_action_size(task.action_size());
  info.set_episode_steps(task.task().episode_steps());
  info.set_evaluation_steps(task.task().evaluation_steps());
  info.set_clip_steps(task.task().clip().steps());
  info.set_has_true_reward(task.has_true_reward());
  info.set_rubric_criteria(task.task().rubric().criterion_size());
  for (const std::string& name : task.metric_names()) info.add_metrics(name);
  info.set_question(task.task().question());
  info.set_step_seconds(task.step_seconds());
  info.set_playback_fps(task.task().clip().playback_fps());
  *info.mutable_defaults() = task.task().defaults();
  return info;
}

absl::Status FilmSnapshot(const client::BrokerClient& broker, const v1::Run& run, int64_t version,
                          uint64_t seed, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bundle,
                   client::GetBundle(broker.client(), run.task().bundle_hash(), broker.stop()));
  RETURN_IF_ERROR(sim::TryTaskBundle(bundle));
  ASSIGN_OR_RETURN(auto task, sim::Task::FromBundle(bundle));
  v1::GetSnapshotRequest request;
  request.set_run_id(run.id());
  request.set_kind(v1::POLICY);
  request.set_version(version != 0 ? version : run.best_version());
  ASSIGN_OR_RETURN(const auto fetched,
                   client::GetSnapshot(broker.client(), request, broker.stop()));
  ASSIGN_OR_RETURN(const nn::Snapshot snapshot, nn::Snapshot::Decode(fetched.second));
  ASSIGN_OR_RETURN(auto policy, nn::Policy::FromSnapshot(snapshot));
  const int steps = task->task().evaluation_steps();
  return Film(std::move(task), std::move(policy), seed, steps, path);
}

absl::StatusOr<MadeTask> MakeTask(const std::string& model_path, const std::string& folder,
                                  sim::Draft& draft,
                                  const std::function<void(absl::string_view)>& progress) {
  ASSIGN_OR_RETURN(sim::NewTask made, sim::ScaffoldTask(model_path, folder, draft, progress));
  MadeTask result{std::move(made.remarks), absl::OkStatus()};
  for (std::string& remark : sim::LeftOut(*made.task)) result.remarks.push_back(std::move(remark));
  progress("drawing the preview");
  sim::AnimationOptions options;
  options.moments_per_second = 1 / made.task->step_seconds();
  options.max_drawing = kPreviewLimit;
  result.preview = sim::RenderGif(*made.task, made.states, options, draft.path() + "/preview.gif");
  if (!result.preview.ok() && !absl::IsUnavailable(result.preview)) return result.preview;
  RETURN_IF_ERROR(draft.Keep());
  return result;
}

}  // namespace backflip::cli
