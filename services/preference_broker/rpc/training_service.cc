#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/spans.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/run_row.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/labeling/feed.h"
#include "services/preference_broker/store/labeling/questions.h"
#include "services/preference_broker/store/labeling/reliability.h"
#include "services/preference_broker/store/runs/clips.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {
namespace {

constexpr int32_t kEntriesPerPage = 32;

// Position of one call in the feed, and the clips that it was sent.
class Follower {
 public:
  using Stream = PagedStream<v1::LabelFeedMessage>;

  explicit Follower(const v1::FollowLabelsRequest* request)
      : request_(request), position_(request->from_position()) {}

  absl::StatusOr<Stream::Next> Fetch(Connection& connection,
                                     std::deque<v1::LabelFeedMessage>* page) {
    RETURN_IF_ERROR(CheckRange("from_position", request_->from_position(), 1, int64_t{1} << 60));
    ASSIGN_OR_RETURN(auto entries,
                     ReadFeed(connection, request_->run_id(), position_, kEntriesPerPage));
    if (!known_) {
      ASSIGN_OR_RETURN(const RunDefinition run, GetRunDefinition(connection, request_->run_id()));
      true_rewards_ = run.spec.reward_model().target() == v1::TRUE_RETURNS;
      known_ = true;
    }
    std::vector<int64_t> fresh;
    std::unordered_set<int64_t> seen;
    for (const FeedEntry& entry : entries) {
      for (const int64_t clip : entry.clips) {
        if (sent_clips_.count(clip) == 0 && seen.insert(clip).second) fresh.push_back(clip);
      }
    }
    if (!fresh.empty()) {
      // clips that questions name are never pruned, so all of them are there
      ASSIGN_OR_RETURN(auto clips, ReadCandidates(connection, fresh, true_rewards_));
      for (v1::Candidate& clip : clips) *page->emplace_back().mutable_clip() = std::move(clip);
      sent_clips_.insert(fresh.begin(), fresh.end());
    }
    for (FeedEntry& entry : entries) {
      position_ = entry.entry.position() + 1;
      *page->emplace_back().mutable_entry() = std::move(entry.entry);
    }
    if (!entries.empty()) {
      caught_up_sent_ = false;
      return Stream::Next::kMore;
    }
    if (!caught_up_sent_) {
      page->emplace_back().mutable_caught_up()->set_position(position_ - 1);
      caught_up_sent_ = true;
    }
    return Stream::Next::kWait;
  }

 private:
  const v1::FollowLabelsRequest* const request_;
  int64_t position_;
  std::unordered_set<int64_t> sent_clips_;
  bool caught_up_sent_ = false;
  // Of the run, once it is known: whether its ensemble is fitted to true returns.
  bool known_ = false, true_rewards_ = false;
};

class TrainingServiceImpl final : public v1::TrainingService::CallbackService {
 public:
  explicit TrainingServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* OpenQuestions(grpc::CallbackServerContext* context,
                                          const v1::OpenQuestionsRequest* request,
                                          v1::OpenQuestionsResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckNewQuestions(*request));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::OpenQuestions(connection, caller, *request));
                   if (response->opened()) {
                     for (const v1::OpenedQuestion& question : response->questions()) {
                       Tell({kQuestionOpened, request->run_id(), question.question_id(), {}},
                            {{"trace", TraceId(request->run_id(), question.question_id())},
                             {"run", request->run_id()},
                             {"round", request->round()},
                             {"question", question.question_id()},
                             {"clips", absl::StrJoin(question.clip_ids(), " ")}});
                     }
                   }
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* ReportReliability(grpc::CallbackServerContext* context,
                                              const v1::ReportReliabilityRequest* request,
                                              v1::ReportReliabilityResponse*) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckReliability(*request));
                   return preference_broker::ReportReliability(connection, caller, *request);
                 });
  }

  grpc::ServerWriteReactor<v1::LabelFeedMessage>* FollowLabels(
      grpc::CallbackServerContext* context, const v1::FollowLabelsRequest* request) override {
    return Follower::Stream::Start(
        calls_, request, context, FeedTopic(request->run_id()),
        [follower = std::make_shared<Follower>(request)](Connection& connection, const Caller&,
                                                         std::deque<v1::LabelFeedMessage>* page) {
          return follower->Fetch(connection, page);
        });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeTrainingService(CallContext calls) {
  return std::make_unique<TrainingServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
