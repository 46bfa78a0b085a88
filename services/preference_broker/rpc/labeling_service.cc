#include <algorithm>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/retry.h"
#include "common/experience/answers.h"
#include "common/metrics/metrics.h"
#include "common/rpc/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/spans.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labeling/leases.h"
#include "services/preference_broker/store/labeling/rules.h"
#include "services/preference_broker/store/labeling/sessions.h"
#include "services/preference_broker/store/labeling/submit.h"
#include "services/preference_broker/store/labels/export.h"
#include "services/preference_broker/store/runs/run_cache.h"
#include "services/preference_broker/store/runs/scenes.h"

namespace backflip::preference_broker {
namespace {

constexpr int32_t kLabelsPerPage = 1000;

// Remembers that nobody has anything to answer in some runs, until questions are signalled or a
// second has passed. Many waiting calls are woken at once, and most of them then need not ask
// the database. Thread-safe.
class NothingOpen {
 public:
  explicit NothingOpen(Hub* hub) : hub_(hub) {}
  bool Holds(const std::string& asked) {
    base::MutexLock lock(&mutex_);
    const auto seen = seen_.find(asked);
    return seen != seen_.end() && seen->second.until > Hub::Clock::now() &&
           !hub_->SignalledSince(kQuestionsTopic, seen->second.since);
  }
  void Remember(const std::string& asked, uint64_t since) {
    base::MutexLock lock(&mutex_);
    if (seen_.size() > 1000) seen_.clear();
    seen_[asked] = {since, Hub::Clock::now() + kLookAgain};
  }

 private:
  struct Seen {
    uint64_t since;
    Hub::Clock::time_point until;
  };
  Hub* const hub_;
  base::Mutex mutex_;
  std::unordered_map<std::string, Seen> seen_ ABSL_GUARDED_BY(mutex_);
};

// Whether an answer may break a rule, by what this broker has seen of the labeler: only then is
// the database asked, which knows. Other brokers may have seen parts of a streak, so part of
// one is enough here. Thread-safe.
class RuleTriggers {
 public:
  bool MayMatter(int64_t caller_id, const v1::SubmitRequest& request, const SubmittedLabel& label) {
    const v1::Quality& quality = label.run->quality;
    // a gold pair's answer is known to the database only
    if (label.purpose == v1::GOLD) return quality.min_gold_score() > 0;
    base::MutexLock lock(&mutex_);
    if (streaks_.size() > 20'000) streaks_.clear();
    Streak& streak = streaks_[caller_id];
    const v1::Choice choice = request.answer().choice();
    streak.same = choice == streak.choice ? streak.same + 1 : 1;
    streak.choice = choice;
    // by the broker's own clock
    const double now = absl::ToDoubleMilliseconds(absl::Now() - absl::UnixEpoch());
    const bool fast = streak.pace.IsFast(now - label.age_ms, now, request.timing().decision_ms(),
                                         ClipMillis(label.run->task));
    streak.fast = fast ? streak.fast + 1 : 0;
    return MayReach(quality.max_one_sided(), streak.same) ||
           MayReach(quality.max_fast_answers(), streak.fast) ||
           (!experience::Compares(request.answer()) && quality.max_cannot_tells() > 0);
  }

 private:
  static constexpr int kSuspicious = 4;
  // `forbidden`: length of a streak that breaks the rule; 0: no rule.
  static bool MayReach(int32_t forbidden, int length) {
    return forbidden > 0 && length >= std::min(forbidden, kSuspicious);
  }
  struct Streak {
    v1::Choice choice = v1::CHOICE_UNSPECIFIED;
    int same = 0;
    int fast = 0;
    Pace pace;
  };
  base::Mutex mutex_;
  std::unordered_map<int64_t, Streak> streaks_ ABSL_GUARDED_BY(mutex_);
};

// How often a call that waits for a question looks for one, besides when one is signalled.
constexpr std::chrono::milliseconds kLookForQuestions(5000);
// Shorter waits are not credited.
constexpr int64_t kLeastWaitMs = 200;

// Of answers and what takes them back, by what became of them.
metrics::Counter& Answers(const char* outcome) {
  return metrics::GetCounter("backflip_answers_total",
                             "Answers and what takes them back, by outcome: new, surplus (no slot "
                             "was left), repeated, taken_back, refused.",
                             {{"outcome", outcome}});
}

// What every entry of a label's chain leaves behind: a count and a line.
void Note(const absl::StatusOr<SubmittedLabel>& label, const char* outcome, const char* event) {
  if (!label.ok()) {
    if (!base::IsRetryable(label.status())) Answers("refused").Increment();
    return;
  }
  Answers(label->fresh ? outcome : "repeated").Increment();
  if (!label->fresh) return;
  Tell({event, label->run_id, label->question_id, absl::Milliseconds(label->age_ms)},
       {{"trace", TraceId(label->run_id, label->question_id)},
        {"run", label->run_id},
        {"label", label->label_id}});
}

// State of one Lease call across its polls.
struct LeasePoll {
  LeasedQuestions leased;
  int polls = 0;
  Hub::Clock::time_point waiting_since = Hub::Clock::now();
};

class LabelingServiceImpl final : public v1::LabelingService::CallbackService {
 public:
  LabelingServiceImpl(CallContext calls, LeaseTimes leases, FeedNumberer* numberer)
      : calls_(calls), leases_(leases), numberer_(numberer) {
    // rates of what has not happened yet are 0, too
    for (const char* outcome : {"new", "surplus", "repeated", "taken_back", "refused"})
      Answers(outcome);
  }

  grpc::ServerUnaryReactor* Lease(grpc::CallbackServerContext* context,
                                  const v1::LeaseRequest* request,
                                  v1::LeaseResponse* response) override {
    const Hub::Clock::time_point until =
        Hub::Clock::now() + std::chrono::milliseconds(request->wait_ms());
    return LongPoll::Start(
        calls_, request, context, request->wait_ms(), kQuestionsTopic,
        [=, this, poll = std::make_shared<LeasePoll>()](
            Connection& connection, const Caller& caller) -> absl::StatusOr<bool> {
          RETURN_IF_ERROR(CheckRange("count", request->count(), 0, 16));
          RETURN_IF_ERROR(CheckRange("max_clips", request->max_clips(), 0, rpc::kMaxQuestionClips));
          LeaseTerms terms;
          terms.run_id = request->run_id();
          terms.count = std::max(1, request->count());
          terms.max_clips = std::max(2, request->max_clips());
          terms.lease_ms = caller.role == Role::kTeacher ? leases_.teacher_ms : leases_.labeler_ms;
          const std::string asked = absl::StrCat(terms.run_id, "/", static_cast<int>(caller.role),
                                                 "/", absl::StrJoin(caller.run_ids, ","));
          const uint64_t since = calls_.hub->Now();
          if (poll->polls++ == 0 || !nothing_open_.Holds(asked)) {
            ASSIGN_OR_RETURN(poll->leased, LeaseQuestions(connection, runs_, caller, terms));
            *response = poll->leased.response;
            if (poll->leased.nothing_open) nothing_open_.Remember(asked, since);
          }
          const bool found = response->questions_size() > 0;
          const bool ends = found || response->none() == v1::SESSION_COMPLETE;
          CreditWait(connection, caller, *request,
                     ends || Hub::Clock::now() >= until || calls_.hub->draining(), poll.get());
          return ends;
        },
        kLookForQuestions);
  }

  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const v1::HeartbeatRequest* request,
                                      v1::HeartbeatResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   ASSIGN_OR_RETURN(const int32_t leases, RenewLeases(connection, caller));
                   response->set_leases(leases);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context,
                                   const v1::SubmitRequest* request,
                                   v1::SubmitResponse* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckSubmit(*request));
                   absl::StatusOr<SubmittedLabel> submitted =
                       SubmitLabel(connection, runs_, caller, *request);
                   Note(submitted, submitted.ok() && submitted->surplus ? "surplus" : "new",
                        "answer stored");
                   ASSIGN_OR_RETURN(SubmittedLabel label, std::move(submitted));
                   response->set_label_id(label.label_id);
                   response->set_surplus(label.surplus);
                   if (label.feedback.has_value())
                     *response->mutable_feedback() = *std::move(label.feedback);
                   numberer_->Number(label.run_id);
                   // not to other brokers, since such a signal delays every commit: they poll
                   if (label.reopened) calls_.hub->Signal(kQuestionsTopic);
                   if (label.fresh && caller.role == Role::kLabeler)
                     CheckRulesLater(caller, *request, label);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* GetSession(grpc::CallbackServerContext* context,
                                       const v1::GetSessionRequest* request,
                                       v1::Session* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   ASSIGN_OR_RETURN(*response, preference_broker::GetSession(
                                                   connection, runs_, caller, request->run_id()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* GetGuide(grpc::CallbackServerContext* context,
                                     const v1::GetGuideRequest* request,
                                     v1::Guide* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   ASSIGN_OR_RETURN(*response, preference_broker::GetGuide(
                                                   connection, runs_, caller, request->run_id()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Undo(grpc::CallbackServerContext* context,
                                 const v1::UndoRequest* request, v1::UndoResponse*) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRequestId("idempotency_key", request->idempotency_key()));
                   const absl::StatusOr<SubmittedLabel> entry =
                       UndoLabel(connection, caller, *request);
                   Note(entry, "taken_back", "answer taken back");
                   RETURN_IF_ERROR(entry.status());
                   numberer_->Number(entry->run_id);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* GetScene(grpc::CallbackServerContext* context,
                                     const v1::GetSceneRequest* request,
                                     v1::GetSceneResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller&) -> absl::Status {
                   RETURN_IF_ERROR(CheckClipId("scene_hash", request->scene_hash()));
                   ASSIGN_OR_RETURN(*response->mutable_glb(),
                                    preference_broker::GetScene(connection, request->scene_hash()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerWriteReactor<v1::ExportedLabel>* Export(grpc::CallbackServerContext* context,
                                                      const v1::ExportRequest* request) override {
    using Stream = PagedStream<v1::ExportedLabel>;
    return Stream::Start(
        calls_, request, context, "",
        [request, position = int64_t{1}](
            Connection& connection, const Caller& caller,
            std::deque<v1::ExportedLabel>* page) mutable -> absl::StatusOr<Stream::Next> {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          ASSIGN_OR_RETURN(auto labels, ReadStandingLabels(connection, request->run_id(), position,
                                                           kLabelsPerPage));
          if (labels.empty()) return Stream::Next::kEnd;
          position = labels.back().position() + 1;
          for (v1::ExportedLabel& label : labels) page->push_back(std::move(label));
          return Stream::Next::kMore;
        });
  }

 private:
  // Waiting is paid while a caller has nothing to answer: from the start of the call, or from
  // their last answer, to the call's end.
  void CreditWait(Connection& connection, const Caller& caller, const v1::LeaseRequest& request,
                  bool ends, LeasePoll* poll) {
    const Hub::Clock::time_point now = Hub::Clock::now();
    if (!poll->leased.idle) poll->waiting_since = now;
    const auto waited =
        std::chrono::duration_cast<std::chrono::milliseconds>(now - poll->waiting_since).count();
    if (!ends || caller.role != Role::kLabeler || waited < kLeastWaitMs) return;
    const absl::Status status = CreditWaiting(connection, caller, request.run_id(), waited);
    if (!status.ok()) base::LogWarning("waiting is not credited", {{"error", status.message()}});
  }

  // Checks the rules after the answer is acknowledged, and only where one may be broken.
  void CheckRulesLater(const Caller& caller, const v1::SubmitRequest& request,
                       const SubmittedLabel& label) {
    if (!rule_triggers_.MayMatter(caller.id, request, label)) return;
    // a full pool: the next answer is checked too
    (void)calls_.pool->Submit(
        [this, caller_id = caller.id, run_id = label.run_id](Connection& connection) {
          const absl::Status status = EnforceRules(connection, runs_, caller_id, run_id);
          if (!status.ok())
            base::LogWarning("rules were not checked", {{"error", status.message()}});
        });
  }

  const CallContext calls_;
  const LeaseTimes leases_;
  FeedNumberer* const numberer_;
  RunCache runs_;
  NothingOpen nothing_open_{calls_.hub};
  RuleTriggers rule_triggers_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeLabelingService(CallContext calls, LeaseTimes leases,
                                                   FeedNumberer* numberer) {
  return std::make_unique<LabelingServiceImpl>(calls, leases, numberer);
}

}  // namespace backflip::preference_broker
