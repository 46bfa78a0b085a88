#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/exported_labels.h"
#include "services/preference_broker/store/questions.h"
#include "services/preference_broker/store/scenes.h"
#include "services/preference_broker/store/topics.h"

namespace backflip::broker {
namespace {

constexpr int32_t kLabelsPerPage = 1000;

class LabelingServiceImpl final : public v1::LabelingService::CallbackService {
 public:
  LabelingServiceImpl(Core core, Leases leases, FeedNumberer* numberer)
      : core_(core), leases_(leases), numberer_(numberer) {}

  grpc::ServerUnaryReactor* Lease(grpc::CallbackServerContext* context, const v1::LeaseRequest* request,
                                  v1::LeaseResponse* response) override {
    return LongPoll::Start(core_, "LabelingService/Lease", context, request->wait_ms(), kQuestionsTopic,
                           [=, this](Connection& connection, const Caller& caller) -> absl::StatusOr<bool> {
                             RETURN_IF_ERROR(CheckRange("count", request->count(), 0, 16));
                             const int32_t lease_ms =
                                 caller.role == Role::kTeacher ? leases_.teacher_ms : leases_.labeler_ms;
                             ASSIGN_OR_RETURN(*response, LeaseQuestions(connection, caller, request->run_id(),
                                                                        std::max(1, request->count()), lease_ms));
                             return response->questions_size() > 0;
                           });
  }

  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context, const v1::HeartbeatRequest*,
                                      v1::HeartbeatResponse* response) override {
    return Unary(core_, "LabelingService/Heartbeat", context, [=](Connection& connection, const Caller& caller) -> absl::Status {
      ASSIGN_OR_RETURN(const int32_t leases, RenewLeases(connection, caller));
      response->set_leases(leases);
      return absl::OkStatus();
    });
  }

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context, const v1::SubmitRequest* request,
                                   v1::SubmitResponse* response) override {
    return Unary(core_, "LabelingService/Submit", context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckSubmit(*request));
                   ASSIGN_OR_RETURN(const SubmittedLabel label, SubmitLabel(connection, caller, *request));
                   response->set_label_id(label.label_id);
                   response->set_surplus(label.surplus);
                   numberer_->Number(label.run_id);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Undo(grpc::CallbackServerContext* context, const v1::UndoRequest* request,
                                 v1::UndoResponse*) override {
    return Unary(core_, "LabelingService/Undo", context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRequestId("idempotency_key", request->idempotency_key()));
                   ASSIGN_OR_RETURN(const int64_t run_id, UndoLabel(connection, caller, *request));
                   numberer_->Number(run_id);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* GetScene(grpc::CallbackServerContext* context, const v1::GetSceneRequest* request,
                                     v1::GetSceneResponse* response) override {
    return Unary(core_, "LabelingService/GetScene", context, [=](Connection& connection, const Caller&) -> absl::Status {
      RETURN_IF_ERROR(CheckClipId("scene_hash", request->scene_hash()));
      ASSIGN_OR_RETURN(*response->mutable_glb(), broker::GetScene(connection, request->scene_hash()));
      return absl::OkStatus();
    });
  }

  grpc::ServerWriteReactor<v1::ExportedLabel>* Export(grpc::CallbackServerContext* context,
                                                      const v1::ExportRequest* request) override {
    using Stream = PagedStream<v1::ExportedLabel>;
    return Stream::Start(core_, "LabelingService/Export", context, "",
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
  const Core core_;
  const Leases leases_;
  FeedNumberer* const numberer_;
};

}  // namespace

void FeedNumberer::Number(int64_t run_id) {
  {
    base::MutexLock lock(&mutex_);
    if (!busy_.insert(run_id).second) {
      again_.insert(run_id);
      return;
    }
  }
  const bool taken = core_.pool->Submit([this, run_id](Connection& connection) { Run(connection, run_id); });
  if (!taken) {
    base::MutexLock lock(&mutex_);
    busy_.erase(run_id);
    again_.erase(run_id);
  }
}

void FeedNumberer::Run(Connection& connection, int64_t run_id) {
  while (true) {
    {
      base::MutexLock lock(&mutex_);
      again_.erase(run_id);
    }
    const absl::Status status = NumberLabels(connection, run_id);
    base::MutexLock lock(&mutex_);
    if (status.ok() && again_.count(run_id) > 0) continue;
    busy_.erase(run_id);
    again_.erase(run_id);
    return;
  }
}

std::unique_ptr<grpc::Service> MakeLabelingService(Core core, Leases leases, FeedNumberer* numberer) {
  return std::make_unique<LabelingServiceImpl>(core, leases, numberer);
}

}  // namespace backflip::broker
