#include "services/policy_learner/learner_loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/draws.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/experience/wire.h"
#include "common/method/batches.h"
#include "common/method/evaluation.h"
#include "common/method/pace.h"
#include "common/method/restarts.h"
#include "common/method/rounds.h"
#include "common/metrics/metrics.h"
#include "common/nn/snapshot.h"

namespace backflip::policy_learner {
namespace {

constexpr int kCheckpointEvery = 10;  // iterations
// Workers serve other runs when the wait for a reward is longer.
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr size_t kMostStateBytes = 2 << 20;
// Weight of the newest iteration in steps_per_second.
constexpr double kSmoothing = 0.2;

std::vector<experience::Trajectory> TrajectoriesOf(const Rollouts& rollouts, int action_size) {
  std::vector<experience::Trajectory> trajectories;
  for (const auto& rollout : rollouts) {
    for (const v1::Trajectory& trajectory : rollout->trajectories()) {
      trajectories.push_back(experience::FromProto(trajectory, action_size));
    }
  }
  return trajectories;
}

}  // namespace

absl::StatusOr<std::unique_ptr<LearnerLoop>> LearnerLoop::Create(const v1::Run& run,
                                                                 BrokerLink* broker) {
  RETURN_IF_ERROR(method::CheckRolloutSizes(run.spec(), run.task()));
  auto loop = std::unique_ptr<LearnerLoop>(new LearnerLoop(run, broker));
  ASSIGN_OR_RETURN(
      loop->algorithm_,
      learn::MakeAlgorithm(run.spec(), {run.task().observation_size(), run.task().action_size(),
                                        run.task().step_seconds()}));
  // a policy that begins as another would forget what it can do
  if (run.spec().collection().novelty() && run.forked_from_run() == 0) {
    loop->novelty_ =
        std::make_unique<learn::Novelty>(run.spec().seed(), run.task().observation_size());
  }
  RETURN_IF_ERROR(loop->Restore());
  return loop;
}

LearnerLoop::LearnerLoop(const v1::Run& run, BrokerLink* broker)
    : run_(run),
      spec_(run_.spec()),
      broker_(broker),
      batches_(method::Batches(run.spec())),
      end_(batches_) {}

absl::Status LearnerLoop::Restore() {
  std::vector<v1::EnvironmentState> environments;
  int32_t episode_steps = 0;
  auto checkpoint = broker_->LoadCheckpoint();
  if (checkpoint.ok()) {
    auto& [state, bytes] = *checkpoint;
    ASSIGN_OR_RETURN(const nn::Snapshot saved, nn::Snapshot::Decode(bytes));
    RETURN_IF_ERROR(algorithm_->LoadState(saved));
    if (novelty_ != nullptr && learn::Novelty::IsIn(saved)) RETURN_IF_ERROR(novelty_->Load(saved));
    iteration_ = state.iteration();
    steps_ = state.steps();
    episode_steps = state.episode_steps();
    environments.assign(state.environments().begin(), state.environments().end());
    for (const v1::SnapshotInfo& info : state.kept()) {
      kept_.push_back({.info = info});
    }
    saved_iteration_ = iteration_;
    base::LogInfo("continuing from a checkpoint", {{"run", run_.id()}, {"iteration", iteration_}});
  } else if (!absl::IsNotFound(checkpoint.status())) {
    return checkpoint.status();
  } else if (run_.forked_from_run() != 0) {
    ASSIGN_OR_RETURN(const auto policy,
                     broker_->LoadPolicyOf(run_.forked_from_run(), run_.forked_from_version()));
    ASSIGN_OR_RETURN(const nn::Snapshot snapshot, nn::Snapshot::Decode(policy.second));
    RETURN_IF_ERROR(algorithm_->BeginFrom(snapshot, policy.first.steps()));
    base::LogInfo("beginning as another run's policy", {{"run", run_.id()},
                                                        {"of_run", run_.forked_from_run()},
                                                        {"version", run_.forked_from_version()}});
  }
  const size_t wanted = spec_.collection().environments();
  if (!environments.empty() && environments.size() != wanted) {
    return absl::FailedPreconditionError(absl::StrCat("the checkpoint holds ", environments.size(),
                                                      " environments, the run's spec ", wanted));
  }
  collector_ = std::make_shared<Collector>(run_.spec(), run_.task(), iteration_,
                                           std::move(environments), episode_steps);
  return absl::OkStatus();
}

absl::Status LearnerLoop::Run(const std::function<bool()>& stop) {
  absl::Status status = Train(stop);
  if (status.ok()) status = Finish(stop);
  if (absl::IsCancelled(status) && boundary_.iteration() != saved_iteration_) {
    const absl::Status saved = SaveCheckpoint();
    if (!saved.ok()) {
      base::LogWarning("no checkpoint at the end",
                       {{"run", run_.id()}, {"reason", saved.message()}});
    }
  }
  return status;
}

absl::Status LearnerLoop::Train(const std::function<bool()>& stop) {
  broker_->SetWantedSteps(spec_.collection().batch_steps());
  RETURN_IF_ERROR(PublishPolicy());
  boundary_ = Boundary();
  while (iteration_ < end_) {
    if (method::PacedByLabels(spec_)) SetEnd(broker_->LookAtAsking());
    // while the workers simulate
    RETURN_IF_ERROR(Report());
    RETURN_IF_ERROR(TakeEvaluations());
    if (iteration_ % kCheckpointEvery == 0 && iteration_ != saved_iteration_) {
      RETURN_IF_ERROR(SaveCheckpoint());
    }

    ASSIGN_OR_RETURN(const Rollouts rollouts, WaitBatch(stop));
    const int64_t steps = steps_ + spec_.collection().batch_steps();
    RETURN_IF_ERROR(broker_->CompleteBatch(iteration_, steps));
    experience::Batch batch{iteration_, TrajectoriesOf(rollouts, run_.task().action_size())};
    if (method::LearnsFrom(spec_, iteration_)) novelty_ = nullptr;
    if (novelty_ != nullptr) novelty_->Observe(batch);
    RETURN_IF_ERROR(algorithm_->Observe(std::move(batch)));
    RETURN_IF_ERROR(Improve());
    ++iteration_;
    steps_ = steps;
    // from the moment of the update on, a checkpoint must say so
    boundary_ = Boundary();
    RETURN_IF_ERROR(PublishPolicy());
    boundary_ = Boundary();
  }
  return absl::OkStatus();
}

absl::Status LearnerLoop::Improve() {
  learn::Statistics statistics;
  if (method::LearnsFrom(spec_, iteration_)) {
    ASSIGN_OR_RETURN(reward_, WaitReward(iteration_));
    ASSIGN_OR_RETURN(statistics,
                     algorithm_->Improve(CurrentReward(), method::Progress(spec_, iteration_)));
  } else if (novelty_ != nullptr) {
    ASSIGN_OR_RETURN(statistics, algorithm_->Improve(*novelty_, /*progress=*/0));
  } else {
    return absl::OkStatus();
  }
  Chart(statistics);
  return absl::OkStatus();
}

absl::StatusOr<Rollouts> LearnerLoop::WaitBatch(const std::function<bool()>& stop) {
  const metrics::Waiting waiting("rollouts");
  ASSIGN_OR_RETURN(Rollouts rollouts, collector_->WaitBatch(iteration_, stop));
  metrics::GetCounter("backflip_batch_steps_total", "Steps of the batches that have come whole.")
      .Increment(spec_.collection().batch_steps());
  return rollouts;
}

absl::Status LearnerLoop::PublishPolicy() {
  std::string bytes = algorithm_->Policy().Encode();
  const bool kept =
      iteration_ > 0 &&
      (iteration_ == end_ || method::IsKept(iteration_, batches_, spec_.kept_snapshots()));
  ASSIGN_OR_RETURN(const v1::SnapshotInfo info,
                   broker_->PublishPolicy(iteration_, steps_, kept, bytes));
  if (iteration_ < end_) {
    ASSIGN_OR_RETURN(const auto restarts, Restarts());
    collector_->AddPolicy({.iteration = iteration_,
                           .version = info.version(),
                           .steps_trained = steps_,
                           .bytes = bytes},
                          restarts);
  }
  const bool known = std::any_of(kept_.begin(), kept_.end(),
                                 [&](const Kept& k) { return k.info.version() == info.version(); });
  if (kept && !known) {
    kept_.push_back({.info = info});
    StartEvaluation(&kept_.back(), std::move(bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::map<int, v1::EnvironmentState>> LearnerLoop::Restarts() {
  std::vector<int32_t> ages;
  for (const auto& environment : collector_->environments()) {
    ages.push_back(environment.episode_step());
  }
  const std::vector<method::Restart> planned =
      method::PlanRestarts(spec_, run_.task(), iteration_, ages);
  std::map<int, v1::EnvironmentState> restarts;
  if (planned.empty()) return restarts;
  v1::GetMomentsRequest request;
  request.set_max_iteration(iteration_ - 1);
  request.set_max_round(method::AnsweredRound(spec_, iteration_));
  request.set_limit(method::RestartClips(spec_));
  for (const method::Restart& restart : planned) *request.add_choices() = restart.moment;
  ASSIGN_OR_RETURN(const std::vector<v1::Moment> moments, broker_->LoadMoments(request));
  for (size_t i = 0; i < std::min(planned.size(), moments.size()); ++i) {
    v1::EnvironmentState& state = restarts[planned[i].environment];
    *state.mutable_physics() = moments[i].state();
    state.set_rng_seed(planned[i].rng_seed);
  }
  return restarts;
}

void LearnerLoop::StartEvaluation(Kept* kept, std::string bytes) {
  kept->evaluation = collector_->Evaluate(
      {.iteration = kept->info.iteration(),
       .version = kept->info.version(),
       .steps_trained = kept->info.steps(),
       .bytes = std::move(bytes)},
      0, method::EpisodeSeeds(spec_, base::Draw::kEvaluation, method::kEvaluationEpisodes), false);
}

absl::Status LearnerLoop::TakeEvaluations() {
  for (Kept& kept : kept_) {
    if (kept.evaluation == 0 || !kept.episodes.empty()) continue;
    // before the first reward there is nothing to score with
    if (spec_.reward() != v1::TRUE && reward_ == nullptr) return absl::OkStatus();
    const std::optional<Rollouts> rollouts = collector_->TakeEvaluation(kept.evaluation);
    if (!rollouts.has_value()) continue;
    kept.episodes = TrajectoriesOf(*rollouts, run_.task().action_size());
    RETURN_IF_ERROR(Score(kept).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<method::PredictedReturn> LearnerLoop::Score(const Kept& kept) {
  const method::PredictedReturn predicted = method::PredictReturn(kept.episodes, CurrentReward());
  std::map<std::string, double> metrics = {{"predicted_return", predicted.mean}};
  if (std::isfinite(predicted.lower)) metrics["policy/lower_return"] = predicted.lower;
  RETURN_IF_ERROR(broker_->ReportMetrics(kept.info.iteration(), kept.info.steps(), metrics));
  return predicted;
}

method::RunReward LearnerLoop::CurrentReward() const {
  return reward_ == nullptr ? method::RunReward(nullptr)
                            : method::RunReward(&reward_->model, reward_->info.version(),
                                                method::DeviationBonus(spec_, iteration_));
}

absl::StatusOr<std::shared_ptr<const Reward>> LearnerLoop::WaitReward(int64_t iteration) {
  if (spec_.reward() == v1::TRUE) return nullptr;
  const metrics::Waiting waiting("reward");
  const absl::Time begin = absl::Now();
  std::shared_ptr<const Reward> reward;
  if (!spec_.lockstep()) {
    ASSIGN_OR_RETURN(reward, NewestReward());
  }
  while (reward == nullptr) {
    ASSIGN_OR_RETURN(reward,
                     broker_->RewardOf(method::RewardIteration(spec_, iteration), kPatience));
    if (reward == nullptr) LetWorkersGo();
  }
  TakeWorkersBack();
  reward_wait_ = absl::Now() - begin;
  return reward;
}

absl::StatusOr<std::shared_ptr<const Reward>> LearnerLoop::NewestReward() {
  std::shared_ptr<const Reward> newest;
  while (newest == nullptr ||
         (!asking_stopped_ && method::WaitsForLabels(spec_, steps_, newest->info.labels()))) {
    ASSIGN_OR_RETURN(const std::shared_ptr<const Reward> newer,
                     broker_->RewardAfter(newest ? newest->info.version() : 0, kPatience));
    if (newer != nullptr) {
      newest = newer;
      continue;
    }
    const Asking asking = broker_->LookAtAsking();
    SetEnd(asking);
    // answers like "cannot tell" may leave too few labels, and nothing open: the
    // next batch is what brings new questions then
    if (newest != nullptr && workers_gone_ && !asking.answers_expected) break;
    if (!asking_stopped_) LetWorkersGo();
  }
  return newest;
}

void LearnerLoop::SetEnd(const Asking& asking) {
  asking_stopped_ = asking.stopped;
  end_ = asking.stopped ? method::BatchesOnceStopped(spec_, asking.labels, iteration_) : batches_;
}

void LearnerLoop::LetWorkersGo() {
  if (workers_gone_) return;
  workers_gone_ = true;
  base::LogInfo("waiting for labels", {{"run", run_.id()}, {"iteration", iteration_}});
  broker_->SetWantedSteps(0);
  collector_->ReleaseWorkers();
}

void LearnerLoop::TakeWorkersBack() {
  if (!workers_gone_) return;
  workers_gone_ = false;
  collector_->TakeWorkers();
  broker_->SetWantedSteps(spec_.collection().batch_steps());
}

void LearnerLoop::Chart(const learn::Statistics& statistics) {
  for (const auto& [name, value] : statistics) metrics_["policy/" + name] = value;
  if (reward_ != nullptr) {
    metrics_["policy/reward_labels"] = static_cast<double>(reward_->info.labels());
  }
  metrics_["policy/reward_wait_seconds"] = absl::ToDoubleSeconds(reward_wait_);
}

absl::Status LearnerLoop::Report() {
  const absl::Time now = absl::Now();
  if (last_boundary_ != absl::InfinitePast()) {
    const double seconds =
        absl::ToDoubleSeconds(now - last_boundary_) / spec_.collection().batch_steps();
    seconds_per_step_ = seconds_per_step_ == 0
                            ? seconds
                            : seconds_per_step_ + kSmoothing * (seconds - seconds_per_step_);
    metrics_["steps_per_second"] = 1 / seconds_per_step_;
    metrics_["policy/late_rollouts"] = static_cast<double>(collector_->dropped());
    metrics_["policy/workers"] = collector_->workers();
    RETURN_IF_ERROR(broker_->ReportMetrics(iteration_, steps_, metrics_));
  }
  last_boundary_ = now;
  metrics_.clear();
  return absl::OkStatus();
}

v1::LearnerState LearnerLoop::Boundary() const {
  v1::LearnerState state;
  state.set_iteration(iteration_);
  state.set_steps(steps_);
  state.set_episode_steps(collector_->episode_steps());
  for (v1::EnvironmentState& environment : collector_->environments()) {
    *state.add_environments() = std::move(environment);
  }
  if (state.ByteSizeLong() > kMostStateBytes) state.clear_environments();
  for (const Kept& kept : kept_) *state.add_kept() = kept.info;
  return state;
}

absl::Status LearnerLoop::SaveCheckpoint() {
  nn::Snapshot state = algorithm_->SaveState();
  if (novelty_ != nullptr) novelty_->Save(&state);
  const std::string bytes = state.Encode();
  // one that could not be loaded again would take the place of one that can
  if (const absl::Status whole = nn::Snapshot::Decode(bytes).status(); !whole.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no checkpoint can be saved before iteration ", boundary_.iteration(), ": ",
                     whole.message()));
  }
  RETURN_IF_ERROR(broker_->SaveCheckpoint(boundary_, bytes));
  saved_iteration_ = boundary_.iteration();
  return absl::OkStatus();
}

absl::Status LearnerLoop::Finish(const std::function<bool()>& stop) {
  RETURN_IF_ERROR(Report());
  if (iteration_ != saved_iteration_) RETURN_IF_ERROR(SaveCheckpoint());
  // those of before a restart are evaluated again: the same episodes
  for (Kept& kept : kept_) {
    if (kept.evaluation != 0) continue;
    ASSIGN_OR_RETURN(std::string bytes, broker_->LoadPolicy(kept.info.version()));
    StartEvaluation(&kept, std::move(bytes));
  }
  if (spec_.reward() == v1::PREFERENCES) {
    ASSIGN_OR_RETURN(reward_, WaitReward(batches_));
  }
  std::vector<method::PredictedReturn> returns;
  for (Kept& kept : kept_) {
    if (kept.episodes.empty()) {
      ASSIGN_OR_RETURN(const Rollouts rollouts, collector_->WaitEvaluation(kept.evaluation, stop));
      kept.episodes = TrajectoriesOf(rollouts, run_.task().action_size());
    }
    ASSIGN_OR_RETURN(returns.emplace_back(), Score(kept));
  }
  const std::optional<size_t> place = method::BestOf(returns);
  if (!place.has_value()) return absl::InternalError("the run kept no snapshot");
  const v1::SnapshotInfo& best = kept_[*place].info;
  RETURN_IF_ERROR(broker_->SetBest(best.version()));
  base::LogInfo("best snapshot", {{"run", run_.id()},
                                  {"version", best.version()},
                                  {"iteration", best.iteration()},
                                  {"predicted_return", returns[*place].mean}});
  ASSIGN_OR_RETURN(std::string bytes, broker_->LoadPolicy(best.version()));
  const int64_t final_episodes = collector_->Evaluate(
      {.iteration = best.iteration(),
       .version = best.version(),
       .steps_trained = best.steps(),
       .bytes = std::move(bytes)},
      method::kEvaluationEpisodes,
      method::EpisodeSeeds(spec_, base::Draw::kFinalEvaluation, method::kFinalEpisodes), true);
  return collector_->WaitEvaluation(final_episodes, stop).status();
}

}  // namespace backflip::policy_learner
