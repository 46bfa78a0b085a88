#include "services/reward_trainer/run_trainer.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "backflip/v1/state.pb.h"
#include "common/base/log.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/learn/selectors/selector.h"
#include "common/method/pace.h"
#include "common/method/round_planner.h"
#include "common/method/rounds.h"
#include "common/method/winners.h"
#include "common/metrics/metrics.h"
#include "common/rpc/status.h"
#include "services/reward_trainer/feed_follower.h"
#include "services/reward_trainer/run_watcher.h"

namespace backflip::reward_trainer {
namespace {

constexpr int64_t kBatchesPerCheckpoint = 10;
// How soon the loss of a claim is noticed while nothing else happens.
constexpr std::chrono::milliseconds kLookUp(500);
// What a drain may take to save a checkpoint.
constexpr absl::Duration kSaveOnDrain = absl::Seconds(5);
constexpr int64_t kAllRounds = std::numeric_limits<int64_t>::max();
// A labeler counts as active for so long after an answer.
constexpr absl::Duration kActiveFor = absl::Minutes(1);
// From one fit from the beginning to the next, so that whoever keeps changing an answer does not
// keep those of others from the policy.
constexpr absl::Duration kBetweenRefits = absl::Minutes(1);

}  // namespace

RunTrainer::RunTrainer(const rpc::Client& broker, std::unique_ptr<client::ClaimKeeper> claim)
    : broker_(broker),
      claim_(std::move(claim)),
      run_(claim_->run()),
      spec_(run_.spec()),
      runs_(v1::RunService::NewStub(broker_.channel())),
      training_(v1::TrainingService::NewStub(broker_.channel())),
      ended_([this] { return Ended(); }),
      pool_(broker_, run_),
      progress_(run_),
      feed_(FollowFeed(broker_, run_, &progress_, ended_)),
      watcher_(WatchRun(broker_, run_.id(), &progress_, ended_)) {}

RunTrainer::~RunTrainer() { Stop(); }

void RunTrainer::Stop() {
  stopped_ = true;
  feed_->Stop();
  watcher_->Stop();
  base::MutexLock lock(&progress_.mutex);
  progress_.changed.NotifyAll();
}

void RunTrainer::Serve() {
  base::LogInfo("serving a run", {{"run", run_.id()},
                                  {"task", run_.task().name()},
                                  {"epoch", claim_->epoch()},
                                  {"lockstep", spec_.lockstep()}});
  absl::Status status = Train();
  if (progress_.failed) {
    base::MutexLock lock(&progress_.mutex);
    status = progress_.failure;
  }
  Stop();
  // a claim whose run is over is still ours to save under and to give back
  const bool lost = claim_->Lost() && claim_->state() == v1::RUNNING;
  if (lost || absl::IsAborted(status)) {
    base::LogInfo("let go of a run", {{"run", run_.id()}, {"reason", status.message()}});
  } else if (absl::IsCancelled(status)) {
    // if the broker cannot be reached, the claim's lease runs out
    const absl::Status saved = Save();
    if (saved.ok()) (void)claim_->GiveBack();
    base::LogInfo("gave a run back", {{"run", run_.id()}, {"saved", saved.ok()}});
  } else if (base::IsRetryable(status)) {
    base::LogInfo("let go of a run", {{"run", run_.id()}, {"reason", status.message()}});
    (void)claim_->GiveBack(status);
  } else {
    base::LogError("a run failed", {{"run", run_.id()}, {"reason", status.message()}});
    (void)claim_->ReleaseFailed(absl::StrCat("reward-trainer: ", std::string(status.message())));
  }
}

absl::Status RunTrainer::Train() {
  ASSIGN_OR_RETURN(fitter_, method::EnsembleFitter::Create(spec_, run_.task().observation_size(),
                                                           run_.task().action_size()));
  RETURN_IF_ERROR(Restore());
  if (!spec_.lockstep()) return TrainAsLabelsCome();
  while (true) {
    const int64_t next = method::RoundAt(spec_, done_batch_) + 1;
    RETURN_IF_ERROR(TrainInLockstep(std::max(next, method::FirstRound(spec_))));
  }
}

absl::Status RunTrainer::TrainInLockstep(int64_t round) {
  const int64_t batch = method::BatchOfRound(spec_, round);
  RETURN_IF_ERROR(Await("batch", [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(progress_.mutex) {
    return progress_.batches > batch;
  }));
  RETURN_IF_ERROR(ReadCandidates(batch, /*new_to_ensemble=*/true));
  RETURN_IF_ERROR(CheckCandidates(batch));
  int64_t wanted = 0;
  {
    base::MutexLock lock(&progress_.mutex);
    if (!progress_.asking_stopped) {
      wanted = method::LabelsToAsk(method::LabelsWantedIn(spec_, round),
                                   progress_.book.Counted(round - 1),
                                   progress_.book.OpenPlaces(round - 1));
    }
  }
  if (wanted > 0) RETURN_IF_ERROR(Ask(round, batch, wanted).status());
  RETURN_IF_ERROR(Await("labels", [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(progress_.mutex) {
    return progress_.asking_stopped || progress_.book.OpenPlaces(round) == 0;
  }));
  Labels labels;
  {
    base::MutexLock lock(&progress_.mutex);
    labels.position = progress_.book.position();
    labels.comparisons = progress_.book.Comparisons(round, labels.position);
  }
  return FitAndPublish(batch, labels);
}

absl::Status RunTrainer::TrainAsLabelsCome() {
  const int64_t initial_batches = method::InitialBatches(spec_);
  int64_t seen = -1, held_seen = 0;
  bool stop_seen = false, refit_waits = false;
  absl::Time refit_at = absl::InfinitePast();
  while (true) {
    RETURN_IF_ERROR(Await("labels", [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(progress_.mutex) {
      // a run whose asking is stopped may end before all initial batches
      return progress_.batches >= (progress_.asking_stopped ? 1 : initial_batches) &&
             (progress_.batches - 1 > pool_.batch() || progress_.book.position() > seen ||
              progress_.asking_stopped != stop_seen || progress_.long_held != held_seen ||
              (refit_waits && absl::Now() >= refit_at));
    }));
    int64_t batch;
    {
      base::MutexLock lock(&progress_.mutex);
      batch = progress_.batches - 1;
      // what comes from here on is handled in the next turn
      seen = progress_.book.position();
      stop_seen = progress_.asking_stopped;
      held_seen = progress_.long_held;
    }
    const bool new_batch = batch > pool_.batch();
    if (new_batch) {
      RETURN_IF_ERROR(ReadCandidates(batch, /*new_to_ensemble=*/true));
      RETURN_IF_ERROR(CheckCandidates(batch));
    }
    RETURN_IF_ERROR(KeepAsking(batch));
    Labels labels;
    int64_t counted, open;
    bool asking_stopped;
    {
      base::MutexLock lock(&progress_.mutex);
      asking_stopped = progress_.asking_stopped;
      labels.position = progress_.book.position();
      labels.comparisons = progress_.book.Comparisons(kAllRounds, labels.position);
      counted = progress_.book.Counted(kAllRounds);
      open = progress_.book.OpenPlaces(kAllRounds);
    }
    if (!fitter_->fitted()) {
      // fewer than the first labels only where no more are expected
      const bool early = counted < method::FirstLabels(spec_) && open > 0;
      if (!asking_stopped && (early || labels.comparisons.empty())) continue;
    } else if (!new_batch && fitter_->FittedTo(labels.comparisons)) {
      continue;
    }
    const bool again = fitter_->fitted() && fitter_->BeginsAgainFor(labels.comparisons);
    refit_waits = again && absl::Now() < refit_at && !asking_stopped;
    if (refit_waits) continue;
    if (again) refit_at = absl::Now() + kBetweenRefits;
    RETURN_IF_ERROR(FitAndPublish(batch, labels));
  }
}

absl::Status RunTrainer::KeepAsking(int64_t batch) {
  while (pool_.size() >= 2) {
    int64_t labels;
    {
      base::MutexLock lock(&progress_.mutex);
      if (progress_.asking_stopped) return absl::OkStatus();
      int64_t scheduled = method::LabelsWantedAt(spec_, StepsAfter(batch));
      if (!fitter_->fitted()) scheduled = std::max(scheduled, method::FirstLabels(spec_));
      labels =
          method::LabelsToAskPeople(scheduled, spec_.labels(), progress_.book.Counted(kAllRounds),
                                    OpenPlaces(), ActiveLabelers());
    }
    if (labels == 0) return absl::OkStatus();
    // rounds that were opened before a restart are found one after the other
    ASSIGN_OR_RETURN(const bool opened, Ask(next_round_, batch, labels));
    ++next_round_;
    if (opened) return absl::OkStatus();
  }
  return absl::OkStatus();
}

int64_t RunTrainer::OpenPlaces() {
  return std::max<int64_t>(0, progress_.book.OpenPlaces(kAllRounds) - progress_.long_held);
}

int64_t RunTrainer::ActiveLabelers() {
  const absl::Time since = absl::Now() - kActiveFor;
  return std::count_if(progress_.answered_at.begin(), progress_.answered_at.end(),
                       [since](const auto& labeler) { return labeler.second > since; });
}

absl::Status RunTrainer::Restore() {
  v1::TrainerState state;
  auto loaded = client::LoadCheckpoint(
      broker_, run_.id(),
      [&](const v1::CheckpointInfo& saved, const std::string& data) {
        if (!state.ParseFromString(saved.counters())) {
          return absl::DataLossError("its counters cannot be read");
        }
        return nn::Snapshot::Decode(data).status();
      },
      ended_);
  if (absl::IsNotFound(loaded.status())) return absl::OkStatus();
  RETURN_IF_ERROR(loaded.status());
  const auto& [info, bytes] = *loaded;
  ASSIGN_OR_RETURN(const nn::Snapshot ensemble, nn::Snapshot::Decode(bytes));
  const int64_t position = info.label_position();
  RETURN_IF_ERROR(
      Await("labels", [&, position = position]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(progress_.mutex) {
        return progress_.book.position() >= position;
      }));
  const int64_t batch = state.round();
  std::vector<experience::Comparison> comparisons;
  {
    base::MutexLock lock(&progress_.mutex);
    comparisons = progress_.book.Comparisons(
        spec_.lockstep() ? method::RoundAt(spec_, batch) : kAllRounds, position);
  }
  RETURN_IF_ERROR(fitter_->Load(ensemble, state.updates(), state.idle_updates(), comparisons));
  RETURN_IF_ERROR(ReadCandidates(batch, /*new_to_ensemble=*/false));
  ensemble_version_ = state.ensemble_version();
  done_batch_ = saved_batch_ = batch;
  checkpoint_ = {info, bytes};
  base::LogInfo("went on from a checkpoint", {{"run", run_.id()},
                                              {"batch", done_batch_},
                                              {"label_position", position},
                                              {"labels", fitter_->labels()}});
  return absl::OkStatus();
}

absl::Status RunTrainer::ReadCandidates(int64_t batch, bool new_to_ensemble) {
  ASSIGN_OR_RETURN(const std::vector<experience::ClipPointer> added, pool_.Read(batch, ended_));
  if (new_to_ensemble) fitter_->AddCandidates(added);
  return absl::OkStatus();
}

absl::Status RunTrainer::CheckCandidates(int64_t batch) {
  if (pool_.size() >= 2) return absl::OkStatus();
  base::MutexLock lock(&progress_.mutex);
  // with labels of before, or where nobody is to be asked, it goes on without
  if (progress_.asking_stopped || progress_.book.position() > 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      StepsAfter(batch), " steps gave ", pool_.size(), " clips of ", run_.task().clip_steps(),
      " steps, and a question needs two: episodes end, or their physics diverges, before a clip is "
      "long enough. Choose a shorter clip in task.textproto; for physics that diverges a smaller "
      "timestep, narrower ctrlranges or more joint damping may help"));
}

int64_t RunTrainer::StepsAfter(int64_t batch) const {
  return (batch + 1) * spec_.collection().batch_steps();
}

absl::StatusOr<bool> RunTrainer::Ask(int64_t round, int64_t batch, int64_t labels) {
  const v1::Queries& queries = spec_.queries();
  const std::vector<method::PlannedQuestion> planned = method::PlanRound(spec_, round, labels);
  const int wanted = static_cast<int>(planned.size());
  std::vector<std::pair<std::string, std::string>> winners;
  {
    base::MutexLock lock(&progress_.mutex);
    winners = progress_.book.WinnerPairs(round - 1, method::WinnerQuestions(spec_, round, wanted));
  }
  const std::vector<experience::ClipPointer> clips = pool_.Clips();
  const auto selector = learn::MakeSelector(queries, fitter_->trained_ensemble());
  const uint64_t seed = method::SelectionSeed(spec_);
  ASSIGN_OR_RETURN(const std::vector<learn::SelectedPair> selected,
                   selector->Select(clips, wanted - static_cast<int>(winners.size()), seed, round));
  if (selected.empty() && winners.empty()) {
    base::LogWarning("too few candidates for a pair",
                     {{"run", run_.id()}, {"round", round}, {"candidates", pool_.size()}});
    return true;
  }
  ASSIGN_OR_RETURN(const auto rankings,
                   selector->Complete(clips, selected, queries.clips_per_question(), seed, round));
  v1::OpenQuestionsRequest request;
  request.set_run_id(run_.id());
  request.set_selector(std::string(selector->name()));
  request.set_epoch(claim_->epoch());
  request.set_round(round);
  request.set_ensemble_version(ensemble_version_);
  for (size_t i = 0; i < selected.size(); ++i) {
    v1::NewQuestion* question = request.add_questions();
    for (const int clip : rankings[i]) question->add_clip_ids(pool_.candidates()[clip].id);
    question->set_purpose(v1::TRAIN);
    question->set_score(selected[i].score);
    question->set_overlap(planned[i].overlap);
  }
  for (const auto& [left, right] : winners) {
    const size_t i = request.questions_size();
    v1::NewQuestion* question = request.add_questions();
    question->add_clip_ids(left);
    question->add_clip_ids(right);
    question->set_purpose(v1::TRAIN);
    question->set_overlap(planned[i].overlap);
    question->set_selector(method::kWinnersSelector);
  }
  for (size_t i = 0; i < selected.size() + winners.size(); ++i) {
    if (planned[i].progress) AddProgressQuestion(round, batch, i, &request);
  }
  v1::OpenQuestionsResponse response;
  RETURN_IF_ERROR(base::Retry({}, ended_, [&] {
    const auto context = broker_.UnaryContext(absl::Seconds(30));
    return rpc::FromGrpc(training_->OpenQuestions(context.get(), request, &response));
  }));
  base::MutexLock lock(&progress_.mutex);
  for (const v1::OpenedQuestion& question : response.questions()) {
    if (question.purpose() == v1::TRAIN) {
      progress_.book.AddQuestion(question, round);
    }
  }
  return response.opened();
}

void RunTrainer::AddProgressQuestion(int64_t round, int64_t batch, size_t place,
                                     v1::OpenQuestionsRequest* request) {
  std::vector<std::string> newest, earlier;
  for (const Candidate& candidate : pool_.candidates()) {
    if (candidate.iteration == batch) newest.push_back(candidate.id);
  }
  {
    base::MutexLock lock(&progress_.mutex);
    earlier = progress_.book.ComparedClips(round - 1, batch - 1);
  }
  if (newest.empty() || earlier.empty()) return;
  v1::NewQuestion* question = request->add_questions();
  question->add_clip_ids(newest[method::ProgressClip(spec_, round, place, 0, newest.size())]);
  question->add_clip_ids(earlier[method::ProgressClip(spec_, round, place, 1, earlier.size())]);
  question->set_purpose(v1::PROGRESS);
  question->set_overlap(1);
}

absl::Status RunTrainer::FitAndPublish(int64_t batch, const Labels& labels) {
  bool asking_stopped;
  {
    base::MutexLock lock(&progress_.mutex);
    fitter_->SetGold(progress_.book.Gold(labels.position));
    asking_stopped = progress_.asking_stopped;
  }
  const absl::Time begin = absl::Now();
  const absl::StatusOr<learn::RewardTrainingStats> stats =
      fitter_->Fit(labels.comparisons, batch - done_batch_, pool_.Clips(), ended_);
  if (absl::IsFailedPrecondition(stats.status())) {
    // Published untrained if something waits for it (lockstep's next iteration, a run that
    // gets no more labels), or if it replaces what was learned from answers that were all
    // taken back.
    base::LogWarning("there are no labels to train on", {{"run", run_.id()}, {"batch", batch}});
    const bool wanted = spec_.lockstep() || ensemble_version_ > 0 || asking_stopped;
    if (!wanted) return absl::OkStatus();
  } else {
    RETURN_IF_ERROR(stats.status());
  }
  metrics::GetDurations("backflip_fit_seconds", "Fits of the reward ensemble.")
      .Observe(absl::ToDoubleSeconds(absl::Now() - begin));
  RETURN_IF_ERROR(Publish(batch));
  if (stats.ok()) {
    v1::ReportSourcesRequest sources;
    sources.set_run_id(run_.id());
    sources.set_epoch(claim_->epoch());
    sources.set_kind(v1::REWARD);
    sources.set_version(ensemble_version_);
    sources.set_label_position(labels.position);
    client::ReportSources(broker_, sources, ended_);
  }
  RETURN_IF_ERROR(KeepCheckpoint(batch, labels.position));
  return stats.ok() ? Report(batch, *stats) : absl::OkStatus();
}

absl::Status RunTrainer::Publish(int64_t batch) {
  v1::SnapshotInfo info;
  info.set_run_id(run_.id());
  info.set_kind(v1::REWARD);
  info.set_iteration(batch + 1);
  info.set_steps(StepsAfter(batch));
  info.set_labels(fitter_->labels());
  ASSIGN_OR_RETURN(const v1::SnapshotInfo published,
                   client::PublishSnapshot(broker_, claim_->epoch(), info,
                                           fitter_->ensemble().ToSnapshot().Encode(), ended_));
  ensemble_version_ = published.version();
  return absl::OkStatus();
}

absl::Status RunTrainer::KeepCheckpoint(int64_t batch, int64_t position) {
  v1::TrainerState state;
  state.set_round(batch);
  state.set_updates(fitter_->updates());
  state.set_idle_updates(fitter_->idle_updates());
  state.set_ensemble_version(ensemble_version_);
  v1::CheckpointInfo info;
  info.set_run_id(run_.id());
  info.set_iteration(batch);
  info.set_steps(StepsAfter(batch));
  info.set_label_position(position);
  info.set_counters(state.SerializeAsString());
  checkpoint_ = {std::move(info), fitter_->ensemble().SaveState().Encode()};
  done_batch_ = batch;
  if (batch < saved_batch_ + kBatchesPerCheckpoint && StepsAfter(batch) < spec_.steps()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(client::SaveCheckpoint(broker_, claim_->epoch(), checkpoint_.info,
                                         checkpoint_.bytes, ended_));
  saved_batch_ = batch;
  return absl::OkStatus();
}

absl::Status RunTrainer::Report(int64_t batch, const learn::RewardTrainingStats& stats) {
  v1::ReportMetricsRequest report;
  report.set_run_id(run_.id());
  report.set_epoch(claim_->epoch());
  report.set_iteration(batch);
  report.set_steps(StepsAfter(batch));
  auto& values = *report.mutable_values();
  values["reward/accuracy"] = stats.accuracy;
  values["reward/loss"] = stats.training_loss;
  values["reward/held_out_loss"] = stats.validation_loss;
  values["reward/l2_penalty"] = stats.l2_penalty;
  values["reward/labels"] = static_cast<double>(fitter_->labels());
  RETURN_IF_ERROR(base::Retry({}, ended_, [&] {
    v1::ReportMetricsResponse response;
    const auto context = broker_.UnaryContext();
    return rpc::FromGrpc(runs_->ReportMetrics(context.get(), report, &response));
  }));
  return ReportReliability();
}

absl::Status RunTrainer::ReportReliability() {
  const std::vector<learn::Reliability> learned = fitter_->ensemble().Reliabilities();
  if (learned.empty()) return absl::OkStatus();
  v1::ReportReliabilityRequest request;
  request.set_run_id(run_.id());
  request.set_epoch(claim_->epoch());
  for (const learn::Reliability& reliability : learned) {
    v1::Reliability* labeler = request.add_labelers();
    labeler->set_labeler(reliability.labeler);
    labeler->set_mean(reliability.mean);
    labeler->set_low(reliability.low);
    labeler->set_high(reliability.high);
    labeler->set_labels(reliability.labels);
  }
  return base::Retry({}, ended_, [&] {
    v1::ReportReliabilityResponse response;
    const auto context = broker_.UnaryContext();
    return rpc::FromGrpc(training_->ReportReliability(context.get(), request, &response));
  });
}

absl::Status RunTrainer::Save() {
  if (done_batch_ == saved_batch_) return absl::OkStatus();
  const absl::Time until = absl::Now() + kSaveOnDrain;
  return client::SaveCheckpoint(broker_, claim_->epoch(), checkpoint_.info, checkpoint_.bytes,
                                [until] { return absl::Now() > until; });
}

absl::Status RunTrainer::Await(const char* what, const std::function<bool()>& condition) {
  const metrics::Waiting waiting(what);
  base::MutexLock lock(&progress_.mutex);
  while (!Ended()) {
    if (condition()) return absl::OkStatus();
    progress_.changed.WaitFor(&progress_.mutex, kLookUp);
  }
  return absl::CancelledError("the run is over, or somebody else serves it");
}

}  // namespace backflip::reward_trainer
