#include "services/labeler/teacher_client.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"

namespace backflip::labeler {
namespace {

// Shortest time between two calls of Lease that gave nothing.
constexpr absl::Duration kIdle = absl::Milliseconds(200);

}  // namespace

TeacherClient::TeacherClient(rpc::Client broker, TeacherClientConfig config,
                             teachers::Teacher teacher)
    : broker_(std::move(broker)),
      config_(config),
      stub_(v1::LabelingService::NewStub(broker_.channel())),
      teacher_(std::move(teacher)),
      faults_(std::random_device{}()) {}

void TeacherClient::OnDrain() {
  base::MutexLock lock(&mutex_);
  if (polling_ != nullptr) polling_->TryCancel();
  changed_.NotifyAll();
}

bool TeacherClient::Chance(double share) {
  return std::uniform_real_distribution<double>(0, 1)(faults_) < share;
}

void TeacherClient::Pause(absl::Time until) {
  base::MutexLock lock(&mutex_);
  while (!Draining()) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return;
    changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(left));
  }
}

void TeacherClient::WaitForTurn() {
  if (config_.labels_per_minute == 0) return;
  while (!Draining() && absl::Now() < next_turn_) {
    if (config_.never_answer == 0 && absl::Now() >= next_heartbeat_) {
      v1::HeartbeatResponse response;
      const auto context = broker_.UnaryContext();
      // a failure is no loss: answers are taken after the lease, too
      (void)stub_->Heartbeat(context.get(), {}, &response);
      next_heartbeat_ = absl::Now() + lease_ / 3;
    }
    Pause(config_.never_answer == 0 ? std::min(next_turn_, next_heartbeat_) : next_turn_);
  }
  next_turn_ = std::max(next_turn_, absl::Now()) + absl::Minutes(1) / config_.labels_per_minute;
}

absl::StatusOr<v1::LeaseResponse> TeacherClient::Lease() {
  v1::LeaseRequest request;
  request.set_run_id(config_.run_id);
  request.set_wait_ms(rpc::kMaxWaitMs);
  request.set_count(config_.count);
  request.set_max_clips(rpc::kMaxQuestionClips);
  v1::LeaseResponse response;
  const auto context = broker_.LongPollContext();
  {
    base::MutexLock lock(&mutex_);
    if (Draining()) return absl::CancelledError("draining");
    polling_ = context.get();
  }
  const absl::Status status = rpc::FromGrpc(stub_->Lease(context.get(), request, &response));
  {
    base::MutexLock lock(&mutex_);
    polling_ = nullptr;
  }
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::Answer> TeacherClient::AnswerTo(const v1::Question& question) {
  const int clips = question.clips_size();
  if (clips < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat("a question has ", clips, " clips; there is nothing to compare"));
  }
  // what the teacher reads of each clip
  std::vector<std::vector<float>> numbers;
  for (const v1::ShownClip& clip : question.clips()) {
    const auto& read = teacher_.by_rubric() ? clip.rubric() : clip.true_rewards();
    numbers.emplace_back(read.begin(), read.end());
    if (numbers.back().empty() || numbers.back().size() != numbers[0].size()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "a question came without ", teacher_.by_rubric() ? "a rubric" : "true rewards",
          ": does the task have it, and is the token that of a teacher?"));
    }
  }
  const teachers::UsualReturns usual{question.mean_return(), question.return_deviation()};
  v1::Answer answer;
  if (clips == 2) {
    answer.set_choice(teacher_.Judge(numbers[0], numbers[1], usual));
    return answer;
  }
  // in the order of the pairs that each clip wins, a tie being half of one
  std::vector<int> points(clips, 0);
  for (int first = 0; first < clips; ++first) {
    for (int second = first + 1; second < clips; ++second) {
      const v1::Choice choice = teacher_.Judge(numbers[first], numbers[second], usual);
      points[first] += choice == v1::LEFT ? 2 : choice == v1::RIGHT ? 0 : 1;
      points[second] += choice == v1::RIGHT ? 2 : choice == v1::LEFT ? 0 : 1;
    }
  }
  std::map<int, v1::RankGroup, std::greater<int>> groups;
  for (int position = 0; position < clips; ++position) {
    groups[points[position]].add_positions(position);
  }
  for (auto& [score, group] : groups) *answer.mutable_ranking()->add_groups() = std::move(group);
  return answer;
}

absl::Status TeacherClient::Answer(const v1::Question& question) {
  v1::SubmitRequest request;
  request.set_lease_id(question.lease_id());
  request.set_idempotency_key(base::RandomHex128());
  ASSIGN_OR_RETURN(*request.mutable_answer(), AnswerTo(question));
  request.set_client(absl::StrCat("backflip-labeler ", base::Version()));
  const int times = Chance(config_.answer_twice) ? 2 : 1;
  for (int i = 0; i < times; ++i) {
    // not stopped by a drain: an answer is sent, or it is not
    RETURN_IF_ERROR(base::Retry({}, nullptr, [&] {
      v1::SubmitResponse response;
      const auto context = broker_.UnaryContext();
      return rpc::FromGrpc(stub_->Submit(context.get(), request, &response));
    }));
  }
  ++answers_;
  return absl::OkStatus();
}

absl::Status TeacherClient::Work() {
  base::LogInfo("teaching", {{"run", config_.run_id}, {"broker", broker_.address()}});
  base::RetryPolicy forever;
  forever.give_up_after = absl::InfiniteDuration();
  while (!Draining()) {
    const absl::Time asked = absl::Now();
    v1::LeaseResponse leased;
    const absl::Status status = base::Retry(
        forever, [this] { return Draining(); },
        [&] {
          absl::StatusOr<v1::LeaseResponse> response = Lease();
          if (response.ok()) leased = *std::move(response);
          return response.status();
        });
    if (Draining() && !status.ok()) break;
    RETURN_IF_ERROR(status);
    if (leased.questions().empty()) {
      Pause(asked + kIdle);
      continue;
    }
    lease_ = absl::Milliseconds(leased.questions(0).lease_ms());
    next_heartbeat_ = absl::Now() + lease_ / 3;
    for (const v1::Question& question : leased.questions()) {
      if (Chance(config_.never_answer)) continue;
      WaitForTurn();
      if (const absl::Status answered = Answer(question); !answered.ok()) {
        if (absl::IsUnauthenticated(answered)) return answered;
        base::LogWarning("an answer was not taken", {{"reason", answered.message()}});
      }
    }
  }
  base::LogInfo("drained", {{"answers", answers_}});
  return absl::OkStatus();
}

}  // namespace backflip::labeler
