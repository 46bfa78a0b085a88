#include "services/rollout_worker/collect_session.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/experience/limits.h"
#include "common/metrics/metrics.h"
#include "common/nn/snapshot.h"
#include "common/rpc/daemon.h"
#include "common/rpc/limits.h"
#include "common/rpc/protocol.h"
#include "common/rpc/status.h"
#include "services/rollout_worker/ticket_work.h"

namespace backflip::rollout_worker {
namespace {

// Room is left for what stands beside the clips.
constexpr size_t kMostUploadBytes = experience::kMaxPayloadBytes - (64 << 10);
// While the broker wants no candidates it is asked again so often.
constexpr absl::Duration kAskWantedEvery = absl::Seconds(2);
// Every how many heartbeats the broker is asked whether another run has a
// greater need of this worker.
constexpr int kBeatsBetweenQuestions = 2;
// A drain does not wait longer for a broker that is away.
constexpr absl::Duration kDrainPatience = absl::Seconds(10);

absl::StatusOr<std::shared_ptr<const nn::Policy>> PolicyOf(const std::string& bytes) {
  ASSIGN_OR_RETURN(const nn::Snapshot snapshot, nn::Snapshot::Decode(bytes));
  return nn::Policy::FromSnapshot(snapshot);
}

// Whether the broker refused what came of a ticket, and would refuse it again.
bool IsRefusal(const absl::Status& status) {
  return !status.ok() && !base::IsRetryable(status) && !absl::IsCancelled(status) &&
         !rpc::TokenIsRefused(status);
}

void Count(const absl::StatusOr<sim::Rollout>& rollout) {
  static metrics::Counter& steps = metrics::GetCounter("backflip_simulated_steps_total",
                                                       "Steps of the rollouts of this worker.");
  metrics::GetCounter("backflip_tickets_total", "Tickets of this worker, by outcome: done, failed.",
                      {{"outcome", rollout.ok() ? "done" : "failed"}})
      .Increment();
  if (!rollout.ok()) return;
  for (const experience::Trajectory& trajectory : rollout->trajectories)
    steps.Increment(trajectory.steps);
}

}  // namespace

struct CollectSession::Finished {
  v1::Ticket ticket;
  absl::StatusOr<sim::Rollout> rollout;
};

struct CollectSession::State {
  base::Mutex mutex;
  base::CondVar changed;
  std::deque<Finished> finished ABSL_GUARDED_BY(mutex);
  // Tickets received and not returned.
  int in_hand ABSL_GUARDED_BY(mutex) = 0;
  bool had_work ABSL_GUARDED_BY(mutex) = false;
  // Released by the learner, or draining: nothing new is taken.
  bool closing ABSL_GUARDED_BY(mutex) = false;
  absl::Time closing_since ABSL_GUARDED_BY(mutex);
  // The stream is over.
  bool over ABSL_GUARDED_BY(mutex) = false;
  absl::Time heard ABSL_GUARDED_BY(mutex);
  // Why this end ended the stream.
  absl::Status failure ABSL_GUARDED_BY(mutex);
};

CollectSession::CollectSession(const rpc::Client& broker, v1::Assignment assignment,
                               std::string worker, sim::Simulator* simulator, std::string rounding,
                               std::function<bool()> wanted_elsewhere)
    : broker_(broker),
      assignment_(std::move(assignment)),
      worker_(std::move(worker)),
      simulator_(simulator),
      rounding_(std::move(rounding)),
      wanted_elsewhere_(std::move(wanted_elsewhere)),
      learner_(assignment_.learner_address(), assignment_.collect_token()),
      clips_(v1::ClipService::NewStub(broker_.channel())),
      runs_(v1::RunService::NewStub(broker_.channel())),
      collect_(v1::CollectService::NewStub(learner_.channel())),
      context_(learner_.StreamContext()),
      state_(std::make_shared<State>()) {}

CollectSession::~CollectSession() = default;

void CollectSession::Drain() {
  base::MutexLock lock(&state_->mutex);
  if (state_->closing) return;
  state_->closing = true;
  state_->closing_since = absl::Now();
  state_->changed.NotifyAll();
}

void CollectSession::Fail(absl::Status status) {
  {
    base::MutexLock lock(&state_->mutex);
    if (state_->failure.ok()) state_->failure = std::move(status);
  }
  context_->TryCancel();
}

absl::Status CollectSession::Write(const v1::WorkerMessage& message) {
  base::MutexLock lock(&write_mutex_);
  // a heartbeat that comes too late
  if (half_closed_) return absl::OkStatus();
  if (stream_->Write(message)) return absl::OkStatus();
  // the reading thread learns why
  return absl::UnavailableError("the stream to the learner broke");
}

absl::Status CollectSession::Run() {
  stream_ = collect_->Collect(context_.get());
  {
    base::MutexLock lock(&state_->mutex);
    state_->heard = absl::Now();
  }
  v1::WorkerMessage message;
  v1::Register* hello = message.mutable_register_();
  hello->set_worker(worker_);
  hello->set_protocol_major(rpc::kProtocolMajor);
  hello->set_protocol_minor(rpc::kProtocolMinor);
  hello->set_task_fingerprint(simulator_->task().fingerprint());
  hello->set_threads(simulator_->threads());
  hello->set_rounding(rounding_);
  absl::Status status = Write(message);

  std::thread returning([this] { ReturnLoop(); });
  std::thread beating([this] { HeartbeatLoop(); });
  v1::LearnerMessage received;
  while (stream_->Read(&received)) {
    {
      base::MutexLock lock(&state_->mutex);
      state_->heard = absl::Now();
    }
    switch (received.message_case()) {
      case v1::LearnerMessage::kPolicy:
        TakePolicy(received.policy());
        break;
      case v1::LearnerMessage::kTicket:
        status = TakeTicket(received.ticket());
        break;
      case v1::LearnerMessage::kRelease:
        Drain();
        break;
      case v1::LearnerMessage::kRegistered:
        if (const std::string& warning = received.registered().warning(); !warning.empty()) {
          base::LogWarning(rpc::Sentence(warning), {{"run", assignment_.run_id()}});
        }
        break;
      case v1::LearnerMessage::kHeartbeat:
      case v1::LearnerMessage::MESSAGE_NOT_SET:
        break;
    }
    if (!status.ok()) {
      Fail(status);
      break;
    }
  }
  {
    base::MutexLock lock(&state_->mutex);
    state_->over = true;
    state_->changed.NotifyAll();
  }
  returning.join();
  beating.join();
  const absl::Status ended = rpc::FromGrpc(stream_->Finish());
  base::MutexLock lock(&state_->mutex);
  return state_->failure.ok() ? ended : state_->failure;
}

bool CollectSession::HadWork() const {
  base::MutexLock lock(&state_->mutex);
  return state_->had_work;
}

void CollectSession::TakePolicy(const v1::PolicyChunk& chunk) {
  policy_bytes_ += chunk.data();
  if (!chunk.last()) return;
  policies_.emplace_back(chunk.version(), PolicyOf(std::exchange(policy_bytes_, "")));
  if (static_cast<int>(policies_.size()) > rpc::kPoliciesKept) {
    policies_.pop_front();
  }
}

absl::Status CollectSession::TakeTicket(const v1::Ticket& ticket) {
  const auto policy = std::find_if(policies_.begin(), policies_.end(), [&](const auto& entry) {
    return entry.first == ticket.policy_version();
  });
  if (policy == policies_.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ticket ", ticket.iteration(), ".", ticket.index(), " names policy version ",
                     ticket.policy_version(), ", which the learner has not sent"));
  }
  {
    base::MutexLock lock(&state_->mutex);
    // it goes to somebody else when the stream ends
    if (state_->closing) return absl::OkStatus();
    ++state_->in_hand;
    state_->had_work = true;
  }
  const auto done = [state = state_, ticket](absl::StatusOr<sim::Rollout> rollout) {
    base::MutexLock lock(&state->mutex);
    if (state->over) return;
    state->finished.push_back({ticket, std::move(rollout)});
    state->changed.NotifyAll();
  };
  if (policy->second.ok()) {
    simulator_->Submit(SimulatorTicket(ticket, *policy->second), done);
  } else {
    done(absl::DataLossError(absl::StrCat("policy version ", ticket.policy_version(),
                                          " cannot be read: ", policy->second.status().message())));
  }
  return absl::OkStatus();
}

void CollectSession::ReturnLoop() {
  while (true) {
    std::deque<Finished> finished;
    bool last = false;
    {
      base::MutexLock lock(&state_->mutex);
      while (state_->finished.empty() && !state_->over &&
             !(state_->closing && state_->in_hand == 0)) {
        state_->changed.Wait(&state_->mutex);
      }
      if (state_->over) return;
      finished.swap(state_->finished);
      last = finished.empty();
    }
    if (last) {
      base::MutexLock lock(&write_mutex_);
      half_closed_ = true;
      stream_->WritesDone();
      return;
    }
    const int count = static_cast<int>(finished.size());
    if (absl::Status status = Return(std::move(finished)); !status.ok()) {
      Fail(std::move(status));
      return;
    }
    base::MutexLock lock(&state_->mutex);
    state_->in_hand -= count;
  }
}

absl::Status CollectSession::Return(std::deque<Finished> finished) {
  // everything that has come together travels together
  std::vector<v1::Clip> clips;
  std::vector<v1::ReportEvaluationRequest> reports;
  std::vector<v1::WorkerMessage> messages;
  bool asked = false;
  for (const auto& [ticket, rollout] : finished) {
    Count(rollout);
    if (absl::IsCancelled(rollout.status()) || base::IsRetryable(rollout.status())) {
      return rollout.status();
    }
    if (!rollout.ok()) {
      *messages.emplace_back().mutable_failure() = FailureOf(ticket, rollout.status());
      continue;
    }
    *messages.emplace_back().mutable_rollout() =
        LearnerRollout(ticket, *rollout, assignment_.reward() == v1::TRUE);
    if (ticket.purpose() == v1::EVALUATE) {
      v1::ReportEvaluationRequest& report = reports.emplace_back();
      report.set_run_id(assignment_.run_id());
      for (v1::Evaluation& evaluation : Evaluations(ticket, simulator_->task(), *rollout)) {
        *report.add_episodes() = std::move(evaluation);
      }
      if (ticket.index() == 0 && !ticket.final()) {
        *report.mutable_recording() = RecordingOf(ticket, simulator_->task(), *rollout);
      }
      continue;
    }
    asked = asked || ticket.clips() > 0;
    const int count = wanted_ < 0 ? ticket.clips() : std::min(ticket.clips(), wanted_);
    if (count == 0) continue;
    ASSIGN_OR_RETURN(std::vector<v1::Clip> cut,
                     Candidates(ticket, simulator_->task(), *rollout, count));
    for (v1::Clip& clip : cut) clips.push_back(std::move(clip));
  }
  const absl::Status stored = Store(std::move(clips), asked, reports);
  if (!stored.ok() && !IsRefusal(stored)) return stored;
  for (size_t i = 0; i < messages.size(); ++i) {
    // what is not stored is not returned either
    if (!stored.ok() && !messages[i].has_failure())
      *messages[i].mutable_failure() = FailureOf(finished[i].ticket, stored);
    RETURN_IF_ERROR(Write(messages[i]));
  }
  return absl::OkStatus();
}

absl::Status CollectSession::Store(std::vector<v1::Clip> clips, bool asked,
                                   const std::vector<v1::ReportEvaluationRequest>& reports) {
  if (!clips.empty() || (asked && absl::Now() - wanted_at_ > kAskWantedEvery)) {
    RETURN_IF_ERROR(Upload(std::move(clips)));
  }
  for (const v1::ReportEvaluationRequest& report : reports) {
    RETURN_IF_ERROR(Report(report));
  }
  return absl::OkStatus();
}

absl::Status CollectSession::Upload(std::vector<v1::Clip> clips) {
  size_t next = 0;
  do {
    v1::UploadClipsRequest request;
    request.set_run_id(assignment_.run_id());
    size_t bytes = 0;
    while (next < clips.size()) {
      const size_t more = clips[next].ByteSizeLong();
      if (bytes > 0 && bytes + more > kMostUploadBytes) break;
      bytes += more;
      *request.add_clips() = std::move(clips[next++]);
    }
    RETURN_IF_ERROR(base::Retry(
        {}, [this] { return GiveUp(); },
        [&] {
          v1::UploadClipsResponse response;
          const absl::Status status =
              rpc::FromGrpc(clips_->Upload(broker_.UnaryContext().get(), request, &response));
          if (status.ok()) {
            wanted_ = response.wanted();
            wanted_at_ = absl::Now();
          }
          return status;
        }));
  } while (next < clips.size());
  return absl::OkStatus();
}

absl::Status CollectSession::Report(const v1::ReportEvaluationRequest& request) {
  return base::Retry(
      {}, [this] { return GiveUp(); },
      [&] {
        v1::ReportEvaluationResponse response;
        return rpc::FromGrpc(
            runs_->ReportEvaluation(broker_.UnaryContext().get(), request, &response));
      });
}

bool CollectSession::GiveUp() {
  base::MutexLock lock(&state_->mutex);
  return state_->over || (state_->closing && absl::Now() - state_->closing_since > kDrainPatience);
}

void CollectSession::HeartbeatLoop() {
  v1::WorkerMessage heartbeat;
  heartbeat.mutable_heartbeat();
  const std::chrono::seconds interval(rpc::kHeartbeatSeconds);
  auto next = std::chrono::steady_clock::now() + interval;
  for (int beat = 1;; ++beat) {
    bool silent = false, closing = false;
    {
      base::MutexLock lock(&state_->mutex);
      while (!state_->over) {
        const auto left = next - std::chrono::steady_clock::now();
        if (left <= left.zero()) break;
        state_->changed.WaitFor(&state_->mutex, left);
      }
      if (state_->over) return;
      // the learner ends the stream once nothing is in hand
      if (state_->closing && state_->in_hand == 0) return;
      silent = absl::Now() - state_->heard > absl::Seconds(rpc::kSilenceSeconds);
      closing = state_->closing;
    }
    next += interval;
    if (silent) {
      Fail(absl::DeadlineExceededError(
          absl::StrCat("the learner sent nothing for ", rpc::kSilenceSeconds, " s")));
      return;
    }
    // a failed write shows in the reading thread
    if (!Write(heartbeat).ok()) return;
    if (!closing && beat % kBeatsBetweenQuestions == 0 && wanted_elsewhere_()) {
      Drain();
    }
  }
}

}  // namespace backflip::rollout_worker
