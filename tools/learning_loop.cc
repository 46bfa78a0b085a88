// The loop of one run in one process: simulate, reward, update, compare, fit, in
// lockstep, with simulated teachers. No services, no database: for finding settings,
// and for seeing where time goes. With one teacher it makes the run that the services
// make of the same seed, number for number.
//
//   learning_loop [--task=tasks/hopper_backflip_guided] [--spec=FILE] [--seed=1]
//                 [--teachers=oracle,oracle,inverted] [--threads=1] [--every=10]
//                 [--watchers=FILE,FILE]
//
// FILE is a RunSpec in protobuf's text format, laid over the task's defaults. Questions are
// pairs, each answered once, by a teacher drawn at random; other options are refused.
// A watcher is a further ensemble, of the run's spec with its FILE over it: it asks
// and is fitted as the run's own, but rewards nothing. So many settings of the reward
// are compared on the same behaviour, also on that of `reward: TRUE`.
// Prints a line every `every` iterations, below it one for each ensemble, the kept
// snapshots, and the best of them by the lower bound of the predicted return (true return with
// `reward: TRUE`) on fresh episodes. Of an ensemble: its answers, accuracy and losses
// (training, held out) of the last round, and the correlation of its rewards with the
// true ones in the newest batch, step by step and discounted over what follows; and how many
// deviations over the mean what follows is where the truth is greatest, a hundredth of the moments,
// of how many in truth: whether it knows what is rare. Where the task has a rubric, it says of how
// many pairs of fresh clips the newest policy wins against the first.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/base/draws.h"
#include "common/base/status_macros.h"
#include "common/experience/clip.h"
#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/learn/novelty.h"
#include "common/learn/selectors/selector.h"
#include "common/learn/torch_runtime.h"
#include "common/method/batches.h"
#include "common/method/ensemble_fitter.h"
#include "common/method/evaluation.h"
#include "common/method/pace.h"
#include "common/method/restarts.h"
#include "common/method/round_planner.h"
#include "common/method/rounds.h"
#include "common/method/run_reward.h"
#include "common/method/winners.h"
#include "common/nn/policy.h"
#include "common/nn/reward.h"
#include "common/options/run_spec.h"
#include "common/sim/clip.h"
#include "common/sim/simulator.h"
#include "common/sim/task.h"
#include "common/teachers/teacher.h"
#include "tools/asker.h"
#include "tools/reward_series.h"
#include "tools/rubric_match.h"

ABSL_FLAG(std::string, task, "tasks/hopper_backflip_guided", "task folder");
ABSL_FLAG(std::string, spec, "", "RunSpec, text format, over the defaults");
ABSL_FLAG(uint64_t, seed, 0, "overrides the spec's; 0 does not");
ABSL_FLAG(std::vector<std::string>, teachers, {"oracle"}, "names, with commas");
ABSL_FLAG(std::vector<std::string>, watchers, {},
          "RunSpecs, with commas, of ensembles that only watch");
ABSL_FLAG(int, threads, 1, "simulation threads");
ABSL_FLAG(int, every, 10, "iterations between lines");

namespace backflip::tools {
namespace {

// Of the newest policy against the first one.
constexpr int kMatchEpisodes = 50;
constexpr int kMatchClips = 100;

using base::Draw;
using experience::ClipPointer;
using method::EnsembleFitter;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// UNIMPLEMENTED names an option of which the loop does nothing.
absl::Status CheckSupported(const v1::RunSpec& spec) {
  const v1::Queries& queries = spec.queries();
  const std::pair<bool, const char*> refused[] = {
      {!spec.lockstep(), "lockstep: false"},
      {queries.clips_per_question() > 2, "queries.clips_per_question above 2 (rankings)"},
      {queries.overlap() > 1, "queries.overlap above 1"},
      {queries.max_overlap() > 1, "queries.max_overlap above 1"},
      {queries.progress_share() > 0, "queries.progress_share"},
  };
  for (const auto& [is_set, name] : refused) {
    if (is_set) {
      return absl::UnimplementedError(
          absl::StrCat("learning_loop does not do ", name, ": use backflip train"));
    }
  }
  return absl::OkStatus();
}

// Sums over episodes, or means.
struct Evaluation {
  method::PredictedReturn predicted;
  double true_return = 0;
  std::vector<double> metrics;
};

class Loop {
 public:
  static absl::StatusOr<std::unique_ptr<Loop>> Create();
  absl::Status Run();

 private:
  Loop() = default;

  // An ensemble that asks and is fitted as `spec` has it.
  absl::Status AddAsker(const std::string& name, const v1::RunSpec& spec);
  // One batch: what the policy learns from, and its clips in the pool.
  absl::Status Collect(int64_t iteration);
  // Has environments begin at moments of clips.
  void Restart(int64_t iteration);
  // If a round follows `batch`: asks about clips of the pool, and fits the ensemble to all
  // answers.
  absl::Status Compare(int64_t batch, Asker* asker) const;
  absl::StatusOr<Evaluation> Evaluate(const nn::Snapshot& snapshot, Draw draw, int episodes);
  // For the policy that learns from `batch`.
  method::RunReward Reward(int64_t batch) const;
  absl::Status Finish();
  absl::Status PrintMatch();
  absl::Status Print(int64_t done) const;
  absl::Status PrintAsker(const Asker& asker) const;
  void PrintMetrics(const std::vector<double>& values) const;

  v1::RunSpec spec_;
  v1::TaskInfo info_;  // what options are checked against
  std::shared_ptr<const sim::Task> task_;
  int64_t batches_ = 0;
  std::unique_ptr<sim::Simulator> simulator_;
  std::unique_ptr<learn::Algorithm> algorithm_;
  nn::Snapshot first_;                       // the policy that has learned nothing
  std::unique_ptr<learn::Novelty> novelty_;  // null where the policy does not learn from it
  // The run's own first, unless it learns from the true reward; then watchers.
  std::vector<Asker> askers_;
  std::optional<nn::RewardModel> model_;  // the newest ensemble

  std::vector<sim::EnvironmentStart> starts_;
  experience::Batch batch_;  // the newest, with true rewards
  std::vector<ClipPointer> pool_;
  std::vector<ClipPointer> fresh_;                      // clips of the newest batch
  std::vector<std::pair<int64_t, nn::Snapshot>> kept_;  // steps trained, policy

  // of the newest batch
  double true_sum_ = 0;
  std::vector<double> metrics_;
  learn::Statistics statistics_ = {{"log_std", 0}, {"kl", 0}};
  double simulating_ = 0, updating_ = 0;
  const double begin_ = Seconds();
};

absl::StatusOr<std::unique_ptr<Loop>> Loop::Create() {
  auto loop = std::unique_ptr<Loop>(new Loop());
  ASSIGN_OR_RETURN(loop->task_, sim::Task::FromFolder(absl::GetFlag(FLAGS_task)));
  const sim::Task& task = *loop->task_;
  loop->info_.set_name(task.name());
  loop->info_.set_has_true_reward(task.has_true_reward());
  loop->info_.set_rubric_criteria(task.task().rubric().criterion_size());
  loop->info_.set_clip_steps(task.task().clip().steps());
  loop->info_.set_episode_steps(task.task().episode_steps());
  loop->info_.set_observation_size(task.observation_size());
  loop->info_.set_action_size(task.action_size());
  v1::RunSpec request;
  if (const std::string file = absl::GetFlag(FLAGS_spec); !file.empty()) {
    ASSIGN_OR_RETURN(request, options::ReadRunSpecFile(file));
  }
  if (absl::GetFlag(FLAGS_seed) != 0) request.set_seed(absl::GetFlag(FLAGS_seed));
  v1::RunSpec& spec = loop->spec_;
  ASSIGN_OR_RETURN(spec,
                   options::ResolveRunSpec(task.task().defaults(), /*people=*/false, request));
  RETURN_IF_ERROR(options::CheckFitsTask(spec, loop->info_));
  loop->batches_ = method::Batches(spec);
  ASSIGN_OR_RETURN(loop->simulator_,
                   sim::Simulator::Start(loop->task_, absl::GetFlag(FLAGS_threads)));
  ASSIGN_OR_RETURN(loop->algorithm_,
                   learn::MakeAlgorithm(
                       spec, {task.observation_size(), task.action_size(), task.step_seconds()}));
  loop->first_ = loop->algorithm_->Policy();
  if (spec.collection().novelty()) {
    loop->novelty_ = std::make_unique<learn::Novelty>(spec.seed(), task.observation_size());
  }
  if (spec.reward() != v1::TRUE) RETURN_IF_ERROR(loop->AddAsker("own", spec));
  for (const std::string& file : absl::GetFlag(FLAGS_watchers)) {
    ASSIGN_OR_RETURN(const v1::RunSpec layer, options::ReadRunSpecFile(file));
    v1::RunSpec watching = options::Overlay(spec, layer);
    *watching.mutable_collection() = spec.collection();  // it sees the run's batches
    RETURN_IF_ERROR(options::ValidateRunSpec(watching));
    RETURN_IF_ERROR(loop->AddAsker(file, watching));
  }
  for (int e = 0; e < spec.collection().environments(); ++e) {
    const int steps = method::EpisodeSteps(spec, loop->info_, 0);
    loop->starts_.push_back({base::SeedOf(spec.seed(), Draw::kEnvironment, e),
                             {},
                             method::FirstEpisodeStep(spec, steps, e)});
  }
  return loop;
}

absl::Status Loop::AddAsker(const std::string& name, const v1::RunSpec& spec) {
  RETURN_IF_ERROR(CheckSupported(spec));
  Asker asker{.name = name, .spec = spec};
  ASSIGN_OR_RETURN(asker.fitter,
                   EnsembleFitter::Create(spec, task_->observation_size(), task_->action_size()));
  for (const std::string& teacher : absl::GetFlag(FLAGS_teachers)) {
    RETURN_IF_ERROR(teachers::CheckTask(teacher, info_));
    ASSIGN_OR_RETURN(const teachers::TeacherTraits traits, teachers::TraitsOf(teacher));
    asker.teachers.emplace_back(traits, spec.seed() + asker.teachers.size());
  }
  askers_.push_back(std::move(asker));
  return absl::OkStatus();
}

method::RunReward Loop::Reward(int64_t batch) const {
  return method::RunReward(model_.has_value() ? &*model_ : nullptr, batch,
                           method::DeviationBonus(spec_, batch));
}

absl::Status Loop::Run() {
  for (int64_t iteration = 0; iteration < batches_; ++iteration) {
    const double t0 = Seconds();
    RETURN_IF_ERROR(Collect(iteration));
    const double t1 = Seconds();
    RETURN_IF_ERROR(algorithm_->Observe(batch_));
    if (novelty_ != nullptr && !method::LearnsFrom(spec_, iteration)) {
      novelty_->Observe(batch_);
      ASSIGN_OR_RETURN(statistics_, algorithm_->Improve(*novelty_, /*progress=*/0));
    }
    if (method::LearnsFrom(spec_, iteration)) {
      ASSIGN_OR_RETURN(statistics_,
                       algorithm_->Improve(Reward(iteration), method::Progress(spec_, iteration)));
    }
    simulating_ += t1 - t0;
    updating_ += Seconds() - t1;
    for (Asker& asker : askers_) {
      asker.preferred_before = asker.preferred.size();
      RETURN_IF_ERROR(Compare(iteration, &asker));
    }
    if (spec_.reward() != v1::TRUE &&
        method::RewardIteration(spec_, iteration + 1) == iteration + 1) {
      ASSIGN_OR_RETURN(
          model_, nn::RewardModel::FromSnapshot(askers_.front().fitter->ensemble().ToSnapshot()));
    }

    const int64_t done = iteration + 1;
    if (method::IsKept(done, batches_, spec_.kept_snapshots())) {
      kept_.emplace_back(done * spec_.collection().batch_steps(), algorithm_->Policy());
    }
    if (done % absl::GetFlag(FLAGS_every) == 0 || done == batches_) {
      RETURN_IF_ERROR(Print(done));
    }
  }
  return Finish();
}

absl::Status Loop::Collect(int64_t iteration) {
  sim::Ticket whole;
  ASSIGN_OR_RETURN(whole.policy, nn::Policy::FromSnapshot(algorithm_->Policy()));
  Restart(iteration);
  whole.environments = starts_;
  whole.steps = method::StepsPerEnvironment(spec_);
  whole.episode_steps = method::EpisodeSteps(spec_, info_, iteration);
  ASSIGN_OR_RETURN(sim::Rollout rollout, simulator_->Run(std::move(whole)));

  fresh_.clear();
  true_sum_ = 0;
  metrics_.assign(task_->metric_names().size(), 0);
  const int environments = static_cast<int>(starts_.size());
  const int each = method::EnvironmentsPerTicket(spec_, info_);
  for (int first = 0, index = 0; first < environments; first += each, ++index) {
    const int last = std::min(environments, first + each);
    sim::Rollout ticket;
    for (int e = first; e < last; ++e) {
      starts_[e].state = rollout.ends[e];
      for (const float reward : rollout.trajectories[e].true_rewards) true_sum_ += reward;
      for (const auto& episode : rollout.truths[e].episodes) {
        for (size_t m = 0; m < metrics_.size(); ++m) metrics_[m] += episode.metrics[m];
      }
      ticket.trajectories.push_back(rollout.trajectories[e]);
      ticket.recordings.push_back(std::move(rollout.recordings[e]));
    }
    ASSIGN_OR_RETURN(std::vector<experience::Clip> clips,
                     sim::CutClips(*task_, ticket, method::ClipsOf(spec_, first, last),
                                   base::SeedOf(spec_.seed(), Draw::kClips, iteration, index)));
    for (experience::Clip& clip : clips) {
      fresh_.push_back(std::make_shared<const experience::Clip>(std::move(clip)));
    }
  }
  batch_ = {iteration, std::move(rollout.trajectories)};
  pool_.insert(pool_.end(), fresh_.begin(), fresh_.end());
  int most = 0;
  for (const Asker& asker : askers_) most = std::max(most, asker.spec.queries().pool());
  if (static_cast<int>(pool_.size()) > most) pool_.erase(pool_.begin(), pool_.end() - most);
  return absl::OkStatus();
}

void Loop::Restart(int64_t iteration) {
  std::vector<int32_t> ages;
  for (const sim::EnvironmentStart& start : starts_) {
    if (start.state.has_value()) ages.push_back(start.state->episode_step);
  }
  // one of the newest of the first `size` clips
  const auto newest = [&](const std::vector<ClipPointer>& clips, size_t size, uint64_t place) {
    return clips[size - 1 - place % std::min<size_t>(size, method::RestartClips(spec_))];
  };
  for (const method::Restart& restart : method::PlanRestarts(spec_, info_, iteration, ages)) {
    const v1::MomentChoice& moment = restart.moment;
    const Asker& asker = askers_.front();
    const ClipPointer clip = moment.preferred() && asker.preferred_before > 0
                                 ? newest(asker.preferred, asker.preferred_before, moment.place())
                                 : newest(pool_, pool_.size(), moment.place());
    const auto state =
        clip->states.begin() + (clip->steps - moment.steps_before_end()) * task_->state_size();
    starts_[restart.environment].state = sim::EnvironmentState{
        .physics = {state, state + task_->state_size()}, .rng_seed = restart.rng_seed};
  }
}

absl::Status Loop::Compare(int64_t batch, Asker* asker) const {
  const double begin = Seconds();
  const v1::RunSpec& spec = asker->spec;
  asker->fitter->AddCandidates(fresh_);
  const int64_t round = method::RoundAt(spec, batch);
  if (method::BatchOfRound(spec, round) != batch) return absl::OkStatus();
  const size_t size = std::min<size_t>(pool_.size(), spec.queries().pool());
  const std::vector<ClipPointer> pool(pool_.end() - size, pool_.end());
  const int64_t wanted =
      method::LabelsWantedIn(spec, round) - static_cast<int64_t>(asker->comparisons.size());
  if (wanted > 0) {
    const auto selector = learn::MakeSelector(spec.queries(), asker->fitter->trained_ensemble());
    const int questions = static_cast<int>(wanted);
    const auto winners =
        method::PairWinners(asker->played, method::WinnerQuestions(spec, round, questions));
    ASSIGN_OR_RETURN(const std::vector<learn::SelectedPair> pairs,
                     selector->Select(pool, questions - static_cast<int>(winners.size()),
                                      method::SelectionSeed(spec), round));
    for (const learn::SelectedPair& pair : pairs) Ask(pool[pair.left], pool[pair.right], asker);
    for (const auto& [left, right] : winners) Ask(left, right, asker);
  }
  const int64_t last =
      round == method::FirstRound(spec) ? -1 : method::BatchOfRound(spec, round - 1);
  ASSIGN_OR_RETURN(asker->fit, asker->fitter->Fit(asker->comparisons, batch - last, pool, nullptr));
  asker->seconds += Seconds() - begin;
  return absl::OkStatus();
}

absl::StatusOr<Evaluation> Loop::Evaluate(const nn::Snapshot& snapshot, Draw draw, int episodes) {
  sim::Ticket ticket;
  ASSIGN_OR_RETURN(ticket.policy, nn::Policy::FromSnapshot(snapshot));
  ticket.evaluation = true;
  ticket.steps = task_->task().evaluation_steps();
  for (const uint64_t seed : method::EpisodeSeeds(spec_, draw, episodes)) {
    ticket.environments.push_back({seed, {}});
  }
  ASSIGN_OR_RETURN(const sim::Rollout rollout, simulator_->Run(std::move(ticket)));
  Evaluation result;
  result.metrics.resize(task_->metric_names().size());
  for (const sim::Truth& truths : rollout.truths) {
    const sim::Truth::Episode& truth = truths.episodes.front();
    result.true_return += truth.true_return / episodes;
    for (size_t m = 0; m < result.metrics.size(); ++m) {
      result.metrics[m] += truth.metrics[m] / episodes;
    }
  }
  result.predicted = method::PredictReturn(rollout.trajectories, Reward(batches_));
  return result;
}

absl::Status Loop::Finish() {
  // all scored by the last ensemble
  std::vector<method::PredictedReturn> returns;
  for (const auto& [steps, snapshot] : kept_) {
    ASSIGN_OR_RETURN(const Evaluation e,
                     Evaluate(snapshot, Draw::kEvaluation, method::kEvaluationEpisodes));
    std::printf("kept at %.2fM: predicted %.1f at least %.1f true %.0f", steps / 1e6,
                e.predicted.mean, e.predicted.lower, e.true_return);
    PrintMetrics(e.metrics);
    std::printf("\n");
    returns.push_back(e.predicted);
  }
  const std::optional<size_t> best = method::BestOf(returns);
  if (!best.has_value()) return absl::InternalError("no snapshot was kept");
  for (const Asker& asker : askers_) {
    for (const learn::Reliability& r : asker.fitter->ensemble().Reliabilities()) {
      std::printf("%s: labeler %d: reliability %.2f\n", asker.name.c_str(), r.labeler, r.mean);
    }
  }
  ASSIGN_OR_RETURN(const Evaluation e,
                   Evaluate(kept_[*best].second, Draw::kFinalEvaluation, method::kFinalEpisodes));
  std::printf("final: seed %llu labels %zu true %.3f",
              static_cast<unsigned long long>(spec_.seed()),
              model_.has_value() ? askers_.front().comparisons.size() : 0, e.true_return);
  PrintMetrics(e.metrics);
  std::printf(" wall %.0f s\n", Seconds() - begin_);
  return info_.rubric_criteria() > 0 ? PrintMatch() : absl::OkStatus();
}

absl::Status Loop::PrintMatch() {
  const auto seeds = method::EpisodeSeeds(spec_, Draw::kFinalEvaluation, kMatchEpisodes);
  ASSIGN_OR_RETURN(const RubricMatch match, PlayRubricMatch(algorithm_->Policy(), first_, seeds,
                                                            kMatchClips, simulator_.get()));
  std::printf("by the rubric: the newest policy wins %d of %d clips against the first, %d ties\n",
              match.wins, match.pairs, match.ties);
  return absl::OkStatus();
}

void Loop::PrintMetrics(const std::vector<double>& values) const {
  for (size_t m = 0; m < values.size(); ++m) {
    std::printf(" %s %.2f", task_->metric_names()[m].c_str(), values[m]);
  }
}

absl::Status Loop::Print(int64_t done) const {
  const int64_t batch_steps = spec_.collection().batch_steps();
  const double thousands = static_cast<double>(batch_steps) / 1000;
  std::vector<double> metrics = metrics_;
  for (double& m : metrics) m /= thousands;
  std::printf("%4lld steps %.2fM | a 1000 steps: true %.0f", static_cast<long long>(done),
              done * batch_steps / 1e6, true_sum_ / thousands);
  PrintMetrics(metrics);
  std::printf(" | std %.2f kl %.3f | simulate %.0f s update %.0f wall %.0f\n",
              statistics_.at("log_std"), statistics_.at("kl"), simulating_, updating_,
              Seconds() - begin_);
  for (const Asker& asker : askers_) RETURN_IF_ERROR(PrintAsker(asker));
  std::fflush(stdout);
  return absl::OkStatus();
}

absl::Status Loop::PrintAsker(const Asker& asker) const {
  std::printf("       %s: labels %zu accuracy %.2f loss %.3f/%.3f penalty %.1e | %.0f s",
              asker.name.c_str(), asker.comparisons.size(), asker.fit.accuracy,
              asker.fit.training_loss, asker.fit.validation_loss, asker.fit.l2_penalty,
              asker.seconds);
  if (!task_->has_true_reward()) {
    std::printf("\n");
    return absl::OkStatus();
  }
  std::vector<double> learned, truth;
  for (const experience::Trajectory& t : batch_.trajectories) {
    ASSIGN_OR_RETURN(const std::vector<float> rewards,
                     asker.fitter->ensemble().Score(t.observations, t.actions));
    learned.insert(learned.end(), rewards.begin(), rewards.end());
    truth.insert(truth.end(), t.true_rewards.begin(), t.true_rewards.end());
  }
  // as far as advantages look
  const double decay = spec_.ppo().discount() * spec_.ppo().gae_lambda();
  const std::vector<double> following = Following(batch_, learned, decay);
  const std::vector<double> true_following = Following(batch_, truth, decay);
  std::printf(
      " | like the true reward: step %.3f following %.3f, where it is greatest %.1f of %.1f\n",
      Correlation(learned, truth), Correlation(following, true_following),
      WhereGreatest(following, true_following), WhereGreatest(true_following, true_following));
  return absl::OkStatus();
}

absl::Status Main() {
  learn::SetUpTorch();
  ASSIGN_OR_RETURN(const std::unique_ptr<Loop> loop, Loop::Create());
  return loop->Run();
}

}  // namespace
}  // namespace backflip::tools

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = backflip::tools::Main();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
