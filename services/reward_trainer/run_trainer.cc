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
#include "common/method/conversions.h"
#include "common/method/pace.h"
#include "common/method/round_planner.h"
#include "common/options/run_spec.h"
#include "common/rpc/status.h"

namespace backflip::reward_trainer {
namespace {

constexpr int kWatchWaitMs = 25'000;
constexpr int64_t kRoundsPerCheckpoint = 10;
// How soon the loss of a claim is noticed while nothing else happens.
constexpr std::chrono::milliseconds kLookUp(500);
// What a drain may take to save a checkpoint.
constexpr absl::Duration kSaveOnDrain = absl::Seconds(5);
constexpr int64_t kAllRounds = std::numeric_limits<int64_t>::max();
// A labeler works as long as their last answer is not older.
constexpr absl::Duration kActiveFor = absl::Minutes(1);

v1::Run WithDefaults(v1::Run run) {
  // of a run that an older version made
  *run.mutable_spec() = options::Overlay(options::DefaultRunSpec(), run.spec());
  return run;
}

}  // namespace

RunTrainer::RunTrainer(const rpc::Client& broker, std::unique_ptr<client::ClaimKeeper> claim)
    : broker_(broker),
      claim_(std::move(claim)),
      run_(WithDefaults(claim_->run())),
      spec_(run_.spec()),
      runs_(v1::RunService::NewStub(broker_.channel())),
      training_(v1::TrainingService::NewStub(broker_.channel())),
      clips_(v1::ClipService::NewStub(broker_.channel())),
      ended_([this] { return Ended(); }),
      book_(spec_.queries().overlap()),
      batches_(run_.iterations()),
      asking_stopped_(run_.asking_stopped()) {}

RunTrainer::~RunTrainer() {
  Stop();
  if (feed_thread_.joinable()) feed_thread_.join();
  if (watch_thread_.joinable()) watch_thread_.join();
}

void RunTrainer::Stop() {
  base::MutexLock lock(&mutex_);
  stopped_ = true;
  if (feed_call_ != nullptr) feed_call_->TryCancel();
  if (watch_call_ != nullptr) watch_call_->TryCancel();
  changed_.NotifyAll();
}

void RunTrainer::Serve() {
  base::LogInfo("serving a run", {{"run", run_.id()},
                                  {"task", run_.task().name()},
                                  {"epoch", claim_->epoch()},
                                  {"lockstep", spec_.lockstep()}});
  absl::Status status = Train();
  if (failed_) {
    base::MutexLock lock(&mutex_);
    status = failure_;
  }
  Stop();
  // a claim whose run is over is still ours to save under and to give back
  const bool lost = claim_->Lost() && claim_->state() == v1::RUNNING;
  if (lost || absl::IsAborted(status)) {
    base::LogInfo("let go of a run", {{"run", run_.id()}, {"reason", status.message()}});
  } else if (absl::IsCancelled(status)) {
    // nobody waits for a trainer that cannot reach its broker: the lease runs out
    const absl::Status saved = Save();
    if (saved.ok()) (void)claim_->GiveBack();
    base::LogInfo("gave a run back", {{"run", run_.id()}, {"saved", saved.ok()}});
  } else if (base::IsRetryable(status)) {
    base::LogInfo("let go of a run", {{"run", run_.id()}, {"reason", status.message()}});
    (void)claim_->GiveBack();
  } else {
    base::LogError("a run failed", {{"run", run_.id()}, {"reason", status.message()}});
    (void)claim_->ReleaseFailed(absl::StrCat("reward-trainer: ", std::string(status.message())));
  }
}

absl::Status RunTrainer::Train() {
  ASSIGN_OR_RETURN(fitter_, method::EnsembleFitter::Create(method::FitterConfigOf(run_)));
  feed_thread_ = std::thread([this] { FollowLabels(); });
  watch_thread_ = std::thread([this] { WatchRun(); });
  RETURN_IF_ERROR(Restore());
  if (!spec_.lockstep()) return TrainAsLabelsCome();
  while (true) {
    const int64_t round = done_round_ + 1;
    RETURN_IF_ERROR(
        Await([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return batches_ > round; }));
    RETURN_IF_ERROR(TrainInLockstep(round));
  }
}

absl::Status RunTrainer::TrainInLockstep(int64_t round) {
  std::vector<method::ClipPointer> added;
  RETURN_IF_ERROR(ReadCandidates(round, &added));
  RETURN_IF_ERROR(fitter_->AddCandidates(added));
  int64_t labels = 0;
  {
    base::MutexLock lock(&mutex_);
    if (!asking_stopped_) {
      labels = method::LabelsToAsk(method::LabelsWantedAt(spec_, StepsAfter(round)),
                                   book_.Counted(round - 1), book_.OpenPlaces(round - 1));
    }
  }
  if (labels > 0) RETURN_IF_ERROR(Ask(round, round, labels).status());
  RETURN_IF_ERROR(Await([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return asking_stopped_ || book_.OpenPlaces(round) == 0;
  }));
  std::vector<method::Comparison> comparisons;
  int64_t position;
  {
    base::MutexLock lock(&mutex_);
    position = book_.position();
    comparisons = book_.Comparisons(round, position);
  }
  return FitAndPublish(round, comparisons, position);
}

absl::Status RunTrainer::TrainAsLabelsCome() {
  int64_t seen = -1;
  bool stop_seen = false;
  while (true) {
    int64_t batch, position, counted, open;
    bool new_batch, asking_stopped;
    std::vector<method::Comparison> comparisons;
    RETURN_IF_ERROR(Await([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return batches_ > 0 && (batches_ - 1 > pool_round_ || book_.position() > seen ||
                              asking_stopped_ != stop_seen);
    }));
    {
      base::MutexLock lock(&mutex_);
      batch = batches_ - 1;
      // whatever comes from here on is looked at again
      seen = book_.position();
      stop_seen = asking_stopped_;
    }
    new_batch = batch > pool_round_;
    if (new_batch) {
      std::vector<method::ClipPointer> added;
      RETURN_IF_ERROR(ReadCandidates(batch, &added));
      RETURN_IF_ERROR(fitter_->AddCandidates(added));
    }
    RETURN_IF_ERROR(KeepAsking(batch));
    {
      base::MutexLock lock(&mutex_);
      asking_stopped = asking_stopped_;
      position = book_.position();
      comparisons = book_.Comparisons(kAllRounds, position);
      counted = book_.Counted(kAllRounds);
      open = book_.OpenPlaces(kAllRounds);
    }
    if (!fitter_->fitted()) {
      // fewer than the first labels only where there is nothing more to wait for
      const bool early = counted < method::FirstLabels(spec_) && open > 0;
      if (!asking_stopped && (early || comparisons.empty())) continue;
    } else if (!new_batch && fitter_->FittedTo(comparisons)) {
      continue;
    }
    RETURN_IF_ERROR(FitAndPublish(batch, comparisons, position));
  }
}

absl::Status RunTrainer::KeepAsking(int64_t batch) {
  while (pool_.size() >= 2) {
    int64_t labels;
    {
      base::MutexLock lock(&mutex_);
      if (asking_stopped_) return absl::OkStatus();
      int64_t scheduled = method::LabelsWantedAt(spec_, StepsAfter(batch));
      if (!fitter_->fitted()) scheduled = std::max(scheduled, method::FirstLabels(spec_));
      labels = method::LabelsToAskPeople(scheduled, spec_.labels(), book_.Counted(kAllRounds),
                                         book_.OpenPlaces(kAllRounds), ActiveLabelers());
    }
    if (labels == 0) return absl::OkStatus();
    // rounds that were opened before a restart are found one after the other
    ASSIGN_OR_RETURN(const bool opened, Ask(next_round_, batch, labels));
    ++next_round_;
    if (opened) return absl::OkStatus();
  }
  return absl::OkStatus();
}

int64_t RunTrainer::ActiveLabelers() {
  const absl::Time since = absl::Now() - kActiveFor;
  return std::count_if(answered_at_.begin(), answered_at_.end(),
                       [since](const auto& labeler) { return labeler.second > since; });
}

absl::Status RunTrainer::Restore() {
  auto loaded = client::LoadCheckpoint(broker_, run_.id(), ended_);
  if (absl::IsNotFound(loaded.status())) return absl::OkStatus();
  RETURN_IF_ERROR(loaded.status());
  const auto& [info, bytes] = *loaded;
  v1::TrainerState state;
  if (!state.ParseFromString(info.counters())) {
    return absl::DataLossError("the trainer's checkpoint has counters that cannot be read");
  }
  ASSIGN_OR_RETURN(const nn::Snapshot ensemble, nn::Snapshot::Decode(bytes));
  const int64_t position = info.label_position();
  RETURN_IF_ERROR(Await([&, position = position]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return book_.position() >= position;
  }));
  std::vector<method::Comparison> comparisons;
  {
    base::MutexLock lock(&mutex_);
    comparisons = book_.Comparisons(spec_.lockstep() ? state.round() : kAllRounds, position);
  }
  RETURN_IF_ERROR(fitter_->Load(ensemble, state.updates(), comparisons));
  std::vector<method::ClipPointer> added;  // the ensemble's normaliser knows them
  RETURN_IF_ERROR(ReadCandidates(state.round(), &added));
  ensemble_version_ = state.ensemble_version();
  done_round_ = saved_round_ = state.round();
  checkpoint_ = {info, bytes};
  base::LogInfo("went on from a checkpoint", {{"run", run_.id()},
                                              {"round", done_round_},
                                              {"label_position", position},
                                              {"labels", fitter_->labels()}});
  return absl::OkStatus();
}

absl::Status RunTrainer::ReadCandidates(int64_t round, std::vector<method::ClipPointer>* added) {
  v1::ListCandidatesRequest request;
  request.set_run_id(run_.id());
  request.set_max_iteration(round);
  request.set_after_iteration(pool_round_);
  request.set_limit(spec_.queries().pool());
  std::vector<Candidate> read;
  RETURN_IF_ERROR(base::Retry({}, ended_, [&]() -> absl::Status {
    read.clear();
    const auto context = broker_.UnaryContext(absl::Seconds(60));
    const auto reader = clips_->ListCandidates(context.get(), request);
    v1::Candidate candidate;
    absl::Status bad;
    while (reader->Read(&candidate)) {
      absl::StatusOr<learn::Clip> clip = method::ClipOf(candidate.clip(), run_.task());
      if (!clip.ok()) {
        bad = clip.status();
        context->TryCancel();
        break;
      }
      read.push_back({candidate.clip_id(), candidate.clip().iteration(),
                      std::make_shared<const learn::Clip>(*std::move(clip))});
    }
    const absl::Status status = rpc::FromGrpc(reader->Finish());
    return bad.ok() ? status : bad;
  }));
  for (Candidate& candidate : read) {
    added->push_back(candidate.clip);
    pool_.push_back(std::move(candidate));
  }
  const size_t limit = spec_.queries().pool();
  if (pool_.size() > limit) pool_.erase(pool_.begin(), pool_.end() - limit);
  pool_round_ = round;
  return absl::OkStatus();
}

std::vector<method::ClipPointer> RunTrainer::PoolClips() const {
  std::vector<method::ClipPointer> clips;
  clips.reserve(pool_.size());
  for (const Candidate& candidate : pool_) clips.push_back(candidate.clip);
  return clips;
}

int64_t RunTrainer::StepsAfter(int64_t round) const {
  return (round + 1) * spec_.collection().batch_steps();
}

absl::StatusOr<bool> RunTrainer::Ask(int64_t round, int64_t batch, int64_t labels) {
  const v1::Queries& queries = spec_.queries();
  const std::vector<method::PlannedQuestion> planned = method::PlanRound(spec_, round, labels);
  const int wanted = static_cast<int>(planned.size());
  std::vector<const learn::Clip*> clips;
  for (const Candidate& candidate : pool_) clips.push_back(candidate.clip.get());
  const learn::RewardEnsemble* const ensemble = method::ChoosingEnsemble(spec_, *fitter_);
  ASSIGN_OR_RETURN(const std::vector<learn::SelectedPair> selected,
                   method::SelectPairs(spec_, ensemble, clips, wanted, round));
  v1::OpenQuestionsRequest request;
  request.set_selector(ensemble != nullptr ? "disagreement" : "random");
  if (selected.empty()) {
    base::LogWarning("too few candidates for a pair",
                     {{"run", run_.id()}, {"round", round}, {"candidates", pool_.size()}});
    return true;
  }
  ASSIGN_OR_RETURN(const auto rankings, learn::CompleteToRankings(
                                            ensemble, clips, selected, queries.clips_per_question(),
                                            method::SelectionSeed(spec_), round));
  request.set_run_id(run_.id());
  request.set_epoch(claim_->epoch());
  request.set_round(round);
  request.set_ensemble_version(ensemble_version_);
  for (size_t i = 0; i < selected.size(); ++i) {
    v1::NewQuestion* question = request.add_questions();
    for (const int clip : rankings[i]) question->add_clip_ids(pool_[clip].id);
    question->set_purpose(v1::TRAIN);
    question->set_score(selected[i].score);
    question->set_overlap(planned[i].overlap);
  }
  for (size_t i = 0; i < selected.size(); ++i) {
    if (planned[i].progress) AddProgressQuestion(round, batch, i, &request);
  }
  v1::OpenQuestionsResponse response;
  RETURN_IF_ERROR(base::Retry({}, ended_, [&] {
    const auto context = broker_.UnaryContext(absl::Seconds(30));
    return rpc::FromGrpc(training_->OpenQuestions(context.get(), request, &response));
  }));
  base::MutexLock lock(&mutex_);
  for (const v1::OpenedQuestion& question : response.questions()) {
    if (question.purpose() == v1::TRAIN) {
      book_.AddQuestion(question.question_id(), round, question.overlap());
    }
  }
  return response.opened();
}

void RunTrainer::AddProgressQuestion(int64_t round, int64_t batch, size_t place,
                                     v1::OpenQuestionsRequest* request) {
  std::vector<std::string> newest, earlier;
  for (const Candidate& candidate : pool_) {
    if (candidate.iteration == batch) newest.push_back(candidate.id);
  }
  {
    base::MutexLock lock(&mutex_);
    earlier = book_.ComparedClips(round - 1, batch - 1);
  }
  if (newest.empty() || earlier.empty()) return;
  v1::NewQuestion* question = request->add_questions();
  question->add_clip_ids(newest[method::ProgressClip(spec_, round, place, 0, newest.size())]);
  question->add_clip_ids(earlier[method::ProgressClip(spec_, round, place, 1, earlier.size())]);
  question->set_purpose(v1::PROGRESS);
  question->set_overlap(1);
}

absl::Status RunTrainer::FitAndPublish(int64_t round,
                                       const std::vector<method::Comparison>& comparisons,
                                       int64_t position) {
  bool asking_stopped;
  {
    base::MutexLock lock(&mutex_);
    fitter_->SetGold(book_.Gold(position));
    asking_stopped = asking_stopped_;
  }
  const absl::StatusOr<learn::RewardTrainingStats> stats =
      fitter_->Fit(comparisons, PoolClips(), ended_);
  if (absl::IsFailedPrecondition(stats.status())) {
    // Nothing to learn from yet. Lockstep's next iteration waits for it, and so
    // does a run that gets no more labels; what had been learned from answers
    // that were all taken back is to be forgotten.
    base::LogWarning("too few labels to train on", {{"run", run_.id()}, {"round", round}});
    const bool wanted = spec_.lockstep() || ensemble_version_ > 0 || asking_stopped;
    if (!wanted) return absl::OkStatus();
  } else {
    RETURN_IF_ERROR(stats.status());
  }

  v1::SnapshotInfo info;
  info.set_run_id(run_.id());
  info.set_kind(v1::REWARD);
  info.set_iteration(round + 1);
  info.set_steps(StepsAfter(round));
  info.set_labels(fitter_->labels());
  ASSIGN_OR_RETURN(const v1::SnapshotInfo published,
                   client::PublishSnapshot(broker_, claim_->epoch(), info,
                                           fitter_->ensemble().ToSnapshot().Encode(), ended_));
  ensemble_version_ = published.version();
  done_round_ = round;

  v1::TrainerState state;
  state.set_round(round);
  state.set_updates(fitter_->updates());
  state.set_ensemble_version(ensemble_version_);
  checkpoint_.info = v1::CheckpointInfo();
  checkpoint_.info.set_run_id(run_.id());
  checkpoint_.info.set_iteration(round);
  checkpoint_.info.set_steps(StepsAfter(round));
  checkpoint_.info.set_label_position(position);
  checkpoint_.info.set_counters(state.SerializeAsString());
  checkpoint_.bytes = fitter_->ensemble().SaveState().Encode();
  if (round >= saved_round_ + kRoundsPerCheckpoint || StepsAfter(round) >= spec_.steps()) {
    RETURN_IF_ERROR(client::SaveCheckpoint(broker_, claim_->epoch(), checkpoint_.info,
                                           checkpoint_.bytes, ended_));
    saved_round_ = round;
  }

  if (!stats.ok()) return absl::OkStatus();
  v1::ReportMetricsRequest report;
  report.set_run_id(run_.id());
  report.set_epoch(claim_->epoch());
  report.set_iteration(round);
  report.set_steps(StepsAfter(round));
  auto& values = *report.mutable_values();
  values["reward/accuracy"] = stats->accuracy;
  values["reward/loss"] = stats->training_loss;
  values["reward/held_out_loss"] = stats->validation_loss;
  values["reward/weight_decay"] = stats->weight_decay;
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
  if (done_round_ == saved_round_) return absl::OkStatus();
  const absl::Time until = absl::Now() + kSaveOnDrain;
  return client::SaveCheckpoint(broker_, claim_->epoch(), checkpoint_.info, checkpoint_.bytes,
                                [until] { return absl::Now() > until; });
}

absl::Status RunTrainer::Await(const std::function<bool()>& condition) {
  base::MutexLock lock(&mutex_);
  while (!Ended()) {
    if (condition()) return absl::OkStatus();
    changed_.WaitFor(&mutex_, kLookUp);
  }
  return absl::CancelledError("the run is over, or somebody else serves it");
}

void RunTrainer::Fail(absl::Status status) {
  base::MutexLock lock(&mutex_);
  failure_ = std::move(status);
  failed_ = true;
  changed_.NotifyAll();
}

void RunTrainer::FollowLabels() {
  base::RetryPolicy policy;
  policy.give_up_after = absl::InfiniteDuration();
  while (!Ended()) {
    const absl::Status status = base::Retry(policy, ended_, [&]() -> absl::Status {
      const auto context = broker_.StreamContext();
      {
        base::MutexLock lock(&mutex_);
        if (stopped_) return absl::CancelledError("stopped");
        feed_call_ = context.get();
      }
      bool heard = false;
      const absl::Status status = ReadFeed(context.get(), &heard);
      base::MutexLock lock(&mutex_);
      feed_call_ = nullptr;
      // a stream that ends while it is wanted is opened again: at once, and
      // with growing waits when nothing comes of it
      if (!status.ok() && !absl::IsCancelled(status) && !base::IsRetryable(status)) return status;
      return heard ? absl::OkStatus() : absl::UnavailableError("the label feed ended");
    });
    if (!status.ok() && !Ended()) return Fail(status);
  }
}

absl::Status RunTrainer::ReadFeed(grpc::ClientContext* context, bool* heard) {
  v1::FollowLabelsRequest request;
  request.set_run_id(run_.id());
  {
    base::MutexLock lock(&mutex_);
    request.set_from_position(book_.position() + 1);
  }
  const auto reader = training_->FollowLabels(context, request);
  v1::LabelFeedMessage message;
  absl::Status bad;
  while (bad.ok() && reader->Read(&message)) {
    *heard = true;
    if (message.has_clip()) {
      absl::StatusOr<learn::Clip> clip = method::ClipOf(message.clip().clip(), run_.task());
      bad = clip.status();
      base::MutexLock lock(&mutex_);
      if (clip.ok()) {
        book_.AddClip(message.clip().clip_id(), *std::move(clip),
                      message.clip().clip().iteration());
      }
    } else if (message.has_entry()) {
      base::MutexLock lock(&mutex_);
      bad = book_.Apply(method::EntryOf(message.entry()));
      answered_at_[message.entry().labeler()] = absl::Now();
      changed_.NotifyAll();
    }
  }
  if (!bad.ok()) context->TryCancel();
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  return bad.ok() ? status : bad;
}

void RunTrainer::WatchRun() {
  base::RetryPolicy policy;
  policy.give_up_after = absl::InfiniteDuration();
  v1::WatchRunRequest request;
  request.set_run_id(run_.id());
  request.set_wait_ms(kWatchWaitMs);
  while (!Ended()) {
    v1::Run run;
    const absl::Status status = base::Retry(policy, ended_, [&] {
      const auto context =
          broker_.UnaryContext(absl::Milliseconds(kWatchWaitMs) + absl::Seconds(5));
      {
        base::MutexLock lock(&mutex_);
        if (stopped_) return absl::CancelledError("stopped");
        watch_call_ = context.get();
      }
      absl::Status status = rpc::FromGrpc(runs_->Watch(context.get(), request, &run));
      base::MutexLock lock(&mutex_);
      watch_call_ = nullptr;
      return status;
    });
    if (Ended()) return;
    if (!status.ok()) return Fail(status);
    request.set_since_revision(run.revision());
    base::MutexLock lock(&mutex_);
    batches_ = std::max(batches_, run.iterations());
    asking_stopped_ = run.asking_stopped();
    if (run.state() != v1::RUNNING) run_over_ = true;
    changed_.NotifyAll();
  }
}

}  // namespace backflip::reward_trainer
