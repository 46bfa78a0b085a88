#include "backflip/v1/restart.grpc.pb.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/labeling/restarts.h"
#include "services/preference_broker/store/runs/runs.h"

namespace backflip::preference_broker {
namespace {

using Stream = PagedStream<v1::Moment>;

constexpr size_t kMomentsPerPage = 64;

// One call: the clips are chosen at once, and read page by page.
class Sender {
 public:
  explicit Sender(const v1::GetMomentsRequest* request) : request_(request) {}

  absl::StatusOr<Stream::Next> Fetch(Connection& connection, std::deque<v1::Moment>* page) {
    if (!chosen_.has_value()) {
      RETURN_IF_ERROR(CheckRange("limit", request_->limit(), 1, 1000));
      ASSIGN_OR_RETURN(const RunDefinition run, GetRunDefinition(connection, request_->run_id()));
      clip_steps_ = run.task.clip_steps();
      ASSIGN_OR_RETURN(chosen_, ChooseClips(connection, *request_));
    }
    std::vector<int64_t> clips;
    std::vector<int> steps_before_end;
    for (; sent_ < chosen_->size() && clips.size() < kMomentsPerPage; ++sent_) {
      clips.push_back((*chosen_)[sent_]);
      steps_before_end.push_back(request_->choices(static_cast<int>(sent_)).steps_before_end());
    }
    ASSIGN_OR_RETURN(std::vector<v1::Moment> moments,
                     ReadMoments(connection, clip_steps_, clips, steps_before_end));
    for (v1::Moment& moment : moments) page->push_back(std::move(moment));
    return sent_ == chosen_->size() ? Stream::Next::kEnd : Stream::Next::kMore;
  }

 private:
  const v1::GetMomentsRequest* const request_;
  std::optional<std::vector<int64_t>> chosen_;
  int clip_steps_ = 0;
  size_t sent_ = 0;
};

class RestartServiceImpl final : public v1::RestartService::CallbackService {
 public:
  explicit RestartServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerWriteReactor<v1::Moment>* GetMoments(grpc::CallbackServerContext* context,
                                                   const v1::GetMomentsRequest* request) override {
    return Stream::Start(calls_, request, context, "",
                         [sender = std::make_shared<Sender>(request)](
                             Connection& connection, const Caller&, std::deque<v1::Moment>* page) {
                           return sender->Fetch(connection, page);
                         });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeRestartService(CallContext calls) {
  return std::make_unique<RestartServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
