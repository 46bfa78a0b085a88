// As much of a preference-broker as a reward-trainer sees, in memory: one run,
// whose questions are answered by the greater sum of first observations.
#ifndef BACKFLIP_TESTS_UNIT_SERVICES_REWARD_TRAINER_FAKE_BROKER_H_
#define BACKFLIP_TESTS_UNIT_SERVICES_REWARD_TRAINER_FAKE_BROKER_H_

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/mutex.h"
#include "common/rpc/server.h"

namespace backflip::reward_trainer {

class FakeBroker : public v1::ClaimService::Service,
                   public v1::RunService::Service,
                   public v1::ClipService::Service,
                   public v1::TrainingService::Service,
                   public v1::SnapshotService::Service {
 public:
  explicit FakeBroker(v1::Run run) : run_(std::move(run)) {
    rpc::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.services = {static_cast<v1::ClaimService::Service*>(this),
                        static_cast<v1::RunService::Service*>(this),
                        static_cast<v1::ClipService::Service*>(this),
                        static_cast<v1::TrainingService::Service*>(this),
                        static_cast<v1::SnapshotService::Service*>(this)};
    options.on_drain = [this] {
      base::MutexLock lock(&mutex_);
      draining_ = true;
      changed_.NotifyAll();
    };
    server_ = *rpc::Server::Start(std::move(options));
  }
  ~FakeBroker() override { server_->Drain(absl::ZeroDuration()); }

  const std::string& address() const { return server_->address(); }

  // Another batch with `clips` candidates.
  void AddBatch(int clips) {
    base::MutexLock lock(&mutex_);
    std::mt19937 random(run_.iterations());
    std::normal_distribution<float> normal;
    for (int i = 0; i < clips; ++i) {
      v1::Candidate candidate;
      candidate.set_clip_id(absl::StrCat("clip-", run_.iterations(), "-", i));
      v1::Clip* clip = candidate.mutable_clip();
      clip->set_steps(run_.task().clip_steps());
      clip->set_iteration(run_.iterations());
      clip->set_index(i);
      for (int n = (clip->steps() + 1) * run_.task().observation_size(); n > 0; --n) {
        clip->add_observations(normal(random));
      }
      for (int n = clip->steps() * run_.task().action_size(); n > 0; --n) {
        clip->add_actions(normal(random));
      }
      candidates_.push_back(std::move(candidate));
    }
    run_.set_iterations(run_.iterations() + 1);
    run_.set_revision(run_.revision() + 1);
    changed_.NotifyAll();
  }

  void SetState(v1::RunState state) {
    base::MutexLock lock(&mutex_);
    run_.set_state(state);
    run_.set_revision(run_.revision() + 1);
    changed_.NotifyAll();
  }

  void StopAsking() {
    base::MutexLock lock(&mutex_);
    run_.set_asking_stopped(true);
    run_.set_revision(run_.revision() + 1);
    changed_.NotifyAll();
  }

  // So many questions are held for long.
  void Hold(int64_t questions) {
    base::MutexLock lock(&mutex_);
    run_.set_long_held(questions);
    run_.set_revision(run_.revision() + 1);
    changed_.NotifyAll();
  }

  // Who answers the next questions, in turns, by number.
  void SetLabelers(std::vector<int32_t> labelers) {
    base::MutexLock lock(&mutex_);
    labelers_ = std::move(labelers);
  }

  // The newest report.
  std::vector<v1::Reliability> Reliabilities() {
    base::MutexLock lock(&mutex_);
    return reliabilities_;
  }
  // Of the newest reward of an iteration.
  int64_t LabelsOf(int64_t iteration) {
    base::MutexLock lock(&mutex_);
    return labels_of_[iteration];
  }
  // Blocks until a reward was published after `labels` labels or more.
  void AwaitLabels(int64_t labels) {
    base::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      for (const auto& [iteration, of] : labels_of_) {
        if (of >= labels) return true;
      }
      return false;
    };
    while (!enough()) changed_.Wait(&mutex_);
  }
  int64_t Published() {
    base::MutexLock lock(&mutex_);
    return versions_;
  }

  // Whether questions are answered as they are opened, from now on; those that
  // wait are then answered.
  void SetAnswering(bool answering) {
    base::MutexLock lock(&mutex_);
    answering_ = answering;
    if (answering) AnswerAll();
  }

  // From now on, of several open questions the last is answered first.
  void AnswerInReverse() {
    base::MutexLock lock(&mutex_);
    reverse_ = true;
  }

  // How the next questions are answered; null: as said above.
  void SetJudge(std::function<v1::Choice(const v1::OpenedQuestion&)> judge) {
    base::MutexLock lock(&mutex_);
    judge_ = std::move(judge);
  }

  // Takes the answer at `position` back, and answers the question anew.
  void TakeBack(int64_t position) {
    base::MutexLock lock(&mutex_);
    v1::LabelEntry retraction = entries_[position - 1];
    retraction.set_supersedes(retraction.label_id());
    retraction.set_retraction(true);
    retraction.clear_answer();
    Append(retraction);
    v1::LabelEntry again = entries_[position - 1];
    Append(again);
  }

  // Snapshots by iteration, once there are those of `iteration`. Blocks.
  std::map<int64_t, std::string> AwaitReward(int64_t iteration) {
    base::MutexLock lock(&mutex_);
    while (rewards_.count(iteration) == 0) changed_.Wait(&mutex_);
    return rewards_;
  }
  // Blocks until `count` questions are open or answered.
  std::vector<v1::OpenedQuestion> AwaitQuestions(size_t count) {
    base::MutexLock lock(&mutex_);
    while (questions_.size() < count) changed_.Wait(&mutex_);
    return questions_;
  }
  // Blocks until the claim was given back or released.
  v1::ReleaseClaimRequest AwaitRelease() {
    base::MutexLock lock(&mutex_);
    while (releases_.empty()) changed_.Wait(&mutex_);
    return releases_.back();
  }
  std::vector<int64_t> CheckpointIterations() {
    base::MutexLock lock(&mutex_);
    std::vector<int64_t> iterations;
    for (const auto& [info, bytes] : checkpoints_) iterations.push_back(info.iteration());
    return iterations;
  }
  std::vector<v1::OpenQuestionsRequest> Rounds() {
    base::MutexLock lock(&mutex_);
    std::vector<v1::OpenQuestionsRequest> rounds;
    for (const auto& [round, request] : rounds_) rounds.push_back(request);
    return rounds;
  }
  std::map<std::string, double> Metrics() {
    base::MutexLock lock(&mutex_);
    return metrics_;
  }

 private:
  grpc::Status Claim(grpc::ServerContext*, const v1::ClaimRequest*,
                     v1::ClaimResponse* response) override {
    base::MutexLock lock(&mutex_);
    *response->mutable_run() = run_;
    response->set_epoch(++epoch_);
    response->set_lease_ms(1000);
    return grpc::Status::OK;
  }
  grpc::Status Renew(grpc::ServerContext*, const v1::RenewClaimRequest*,
                     v1::RenewClaimResponse* response) override {
    base::MutexLock lock(&mutex_);
    response->set_state(run_.state());
    return grpc::Status::OK;
  }
  grpc::Status Release(grpc::ServerContext*, const v1::ReleaseClaimRequest* request,
                       v1::ReleaseClaimResponse*) override {
    base::MutexLock lock(&mutex_);
    releases_.push_back(*request);
    changed_.NotifyAll();
    return grpc::Status::OK;
  }
  grpc::Status ReportReliability(grpc::ServerContext*, const v1::ReportReliabilityRequest* request,
                                 v1::ReportReliabilityResponse*) override {
    base::MutexLock lock(&mutex_);
    reliabilities_.assign(request->labelers().begin(), request->labelers().end());
    return grpc::Status::OK;
  }
  using v1::SnapshotService::Service::Watch;
  grpc::Status Watch(grpc::ServerContext* context, const v1::WatchRunRequest* request,
                     v1::Run* response) override {
    base::MutexLock lock(&mutex_);
    while (run_.revision() <= request->since_revision() && !draining_ && !context->IsCancelled()) {
      changed_.WaitFor(&mutex_, std::chrono::milliseconds(20));
    }
    *response = run_;
    return grpc::Status::OK;
  }
  grpc::Status ReportMetrics(grpc::ServerContext*, const v1::ReportMetricsRequest* request,
                             v1::ReportMetricsResponse*) override {
    base::MutexLock lock(&mutex_);
    for (const auto& [name, value] : request->values()) metrics_[name] = value;
    return grpc::Status::OK;
  }
  grpc::Status ListCandidates(grpc::ServerContext*, const v1::ListCandidatesRequest* request,
                              grpc::ServerWriter<v1::Candidate>* writer) override {
    base::MutexLock lock(&mutex_);
    std::vector<v1::Candidate> listed;
    for (const v1::Candidate& candidate : candidates_) {
      if (candidate.clip().iteration() > request->after_iteration() &&
          candidate.clip().iteration() <= request->max_iteration()) {
        listed.push_back(candidate);
      }
    }
    const size_t limit = request->limit();
    for (size_t i = listed.size() - std::min(listed.size(), limit); i < listed.size(); ++i) {
      writer->Write(listed[i]);
    }
    return grpc::Status::OK;
  }
  grpc::Status OpenQuestions(grpc::ServerContext*, const v1::OpenQuestionsRequest* request,
                             v1::OpenQuestionsResponse* response) override {
    base::MutexLock lock(&mutex_);
    response->set_opened(rounds_.emplace(request->round(), *request).second);
    if (response->opened()) {
      for (const v1::NewQuestion& asked : request->questions()) {
        v1::OpenedQuestion question;
        question.set_ordinal(static_cast<int64_t>(questions_.size()));
        question.set_question_id(1000 + question.ordinal());
        *question.mutable_clip_ids() = asked.clip_ids();
        question.set_purpose(asked.purpose());
        question.set_overlap(asked.overlap());
        questions_.push_back(question);
        question_rounds_.push_back(request->round());
      }
      if (answering_) AnswerAll();
      changed_.NotifyAll();
    }
    for (size_t i = 0; i < questions_.size(); ++i) {
      if (question_rounds_[i] == request->round()) *response->add_questions() = questions_[i];
    }
    return grpc::Status::OK;
  }
  grpc::Status FollowLabels(grpc::ServerContext* context, const v1::FollowLabelsRequest* request,
                            grpc::ServerWriter<v1::LabelFeedMessage>* writer) override {
    size_t next = request->from_position() - 1;
    base::MutexLock lock(&mutex_);
    while (!context->IsCancelled() && !draining_) {
      if (next == entries_.size()) {
        changed_.WaitFor(&mutex_, std::chrono::milliseconds(20));
        continue;
      }
      for (const std::string& id : entries_[next].clip_ids()) {
        v1::LabelFeedMessage message;
        for (const v1::Candidate& candidate : candidates_) {
          if (candidate.clip_id() == id) *message.mutable_clip() = candidate;
        }
        writer->Write(message);
      }
      v1::LabelFeedMessage message;
      *message.mutable_entry() = entries_[next++];
      writer->Write(message);
    }
    return grpc::Status::OK;
  }
  grpc::Status Publish(grpc::ServerContext*, grpc::ServerReader<v1::PublishSnapshotRequest>* reader,
                       v1::SnapshotInfo* response) override {
    std::string bytes;
    v1::PublishSnapshotRequest request;
    while (reader->Read(&request)) {
      if (request.chunk().has_info()) *response = request.chunk().info();
      bytes += request.chunk().data();
    }
    base::MutexLock lock(&mutex_);
    response->set_version(++versions_);
    rewards_[response->iteration()] = bytes;
    labels_of_[response->iteration()] = response->labels();
    changed_.NotifyAll();
    return grpc::Status::OK;
  }
  grpc::Status SaveCheckpoint(grpc::ServerContext*,
                              grpc::ServerReader<v1::SaveCheckpointRequest>* reader,
                              v1::SaveCheckpointResponse*) override {
    v1::CheckpointInfo info;
    std::string bytes;
    v1::SaveCheckpointRequest request;
    while (reader->Read(&request)) {
      if (request.chunk().has_info()) info = request.chunk().info();
      bytes += request.chunk().data();
    }
    base::MutexLock lock(&mutex_);
    checkpoints_.emplace_back(info, bytes);
    return grpc::Status::OK;
  }
  grpc::Status LoadCheckpoint(grpc::ServerContext*, const v1::LoadCheckpointRequest*,
                              grpc::ServerWriter<v1::CheckpointChunk>* writer) override {
    base::MutexLock lock(&mutex_);
    if (checkpoints_.empty()) return {grpc::StatusCode::NOT_FOUND, "no checkpoint yet"};
    v1::CheckpointChunk chunk;
    *chunk.mutable_info() = checkpoints_.back().first;
    chunk.set_data(checkpoints_.back().second);
    writer->Write(chunk);
    return grpc::Status::OK;
  }

  double Value(const std::string& clip_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    double value = 0;
    for (const v1::Candidate& candidate : candidates_) {
      if (candidate.clip_id() != clip_id) continue;
      for (int t = 0; t < candidate.clip().steps(); ++t) {
        value += candidate.clip().observations(t * run_.task().observation_size());
      }
    }
    return value;
  }
  void AnswerAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (size_t n = answered_; n < questions_.size(); ++n) {
      const size_t i = reverse_ ? questions_.size() - 1 - (n - answered_) : n;
      const v1::OpenedQuestion& question = questions_[i];
      v1::LabelEntry entry;
      entry.set_question_id(question.question_id());
      entry.set_ordinal(question.ordinal());
      entry.set_round(question_rounds_[i]);
      entry.set_purpose(question.purpose());
      entry.set_overlap(question.overlap());
      *entry.mutable_clip_ids() = question.clip_ids();
      if (question.clip_ids_size() > 2) {
        std::map<double, int, std::greater<>> by_value;
        for (int p = 0; p < question.clip_ids_size(); ++p)
          by_value[Value(question.clip_ids(p))] = p;
        for (const auto& [value, p] : by_value) {
          entry.mutable_answer()->mutable_ranking()->add_groups()->add_positions(p);
        }
      } else {
        entry.mutable_answer()->set_choice(
            judge_                                                      ? judge_(question)
            : Value(question.clip_ids(0)) > Value(question.clip_ids(1)) ? v1::LEFT
                                                                        : v1::RIGHT);
      }
      for (int answer = 0; answer < std::max(1, question.overlap()); ++answer) {
        entry.set_labeler(labelers_[entries_.size() % labelers_.size()]);
        Append(entry);
      }
    }
    answered_ = questions_.size();
  }
  void Append(v1::LabelEntry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    entry.set_position(static_cast<int64_t>(entries_.size()) + 1);
    entry.set_label_id(10'000 + entry.position());
    entries_.push_back(entry);
    changed_.NotifyAll();
  }

  base::Mutex mutex_;
  base::CondVar changed_;
  v1::Run run_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool reverse_ ABSL_GUARDED_BY(mutex_) = false;
  bool answering_ ABSL_GUARDED_BY(mutex_) = true;
  std::function<v1::Choice(const v1::OpenedQuestion&)> judge_ ABSL_GUARDED_BY(mutex_);
  int64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t versions_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t answered_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<int32_t> labelers_ ABSL_GUARDED_BY(mutex_) = {1};
  std::vector<v1::Reliability> reliabilities_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, int64_t> labels_of_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Candidate> candidates_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, v1::OpenQuestionsRequest> rounds_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::OpenedQuestion> questions_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> question_rounds_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::LabelEntry> entries_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, std::string> rewards_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<v1::CheckpointInfo, std::string>> checkpoints_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::ReleaseClaimRequest> releases_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, double> metrics_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<rpc::Server> server_;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_TESTS_UNIT_SERVICES_REWARD_TRAINER_FAKE_BROKER_H_
