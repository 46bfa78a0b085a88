// How workers are let in and cut off.
#include <optional>
#include <string>
#include <utility>

#include "backflip/v1/workers.grpc.pb.h"
#include "common/rpc/certificates.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/people/workers.h"

namespace backflip::preference_broker {
namespace {

class WorkerServiceImpl final : public v1::WorkerService::CallbackService {
 public:
  WorkerServiceImpl(CallContext calls, std::string authority)
      : calls_(calls), authority_(std::move(authority)) {}

  grpc::ServerUnaryReactor* Invite(grpc::CallbackServerContext* context,
                                   const v1::InviteWorkerRequest* request,
                                   v1::InviteWorkerResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckOfAllRuns(caller));
          RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
          RETURN_IF_ERROR(CheckPseudonym("name", request->name()));
          RETURN_IF_ERROR(CheckRange("expires_ms", request->expires_ms(), 0, kMaxMillis - 1));
          ASSIGN_OR_RETURN(*response, InviteWorker(connection, caller, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context,
                                 const v1::JoinRequest* request,
                                 v1::JoinResponse* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller&) -> absl::Status {
                   RETURN_IF_ERROR(CheckText("secret", request->secret(), 256));
                   RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
                   absl::StatusOr<v1::JoinResponse> joined = JoinWorker(connection, *request);
                   if (absl::IsUnauthenticated(joined.status()))
                     calls_.authenticator->NoteRefusal(context->peer(), joined.status());
                   RETURN_IF_ERROR(joined.status());
                   // what a stranger sends is parsed for nobody else
                   if (!authority_.empty()) {
                     // read each time, since it is renewed
                     ASSIGN_OR_RETURN(const auto authority, rpc::Authority::Read(authority_));
                     ASSIGN_OR_RETURN(*joined->mutable_certificate(),
                                      authority.Sign(request->public_key(), joined->name()));
                   }
                   *response = *std::move(joined);
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* List(grpc::CallbackServerContext* context,
                                 const v1::ListWorkersRequest* request,
                                 v1::ListWorkersResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   ASSIGN_OR_RETURN(*response, ListWorkers(connection));
                   return CutPage(request->page(), response->mutable_workers(), response);
                 });
  }

  grpc::ServerUnaryReactor* Revoke(grpc::CallbackServerContext* context,
                                   const v1::RevokeWorkerRequest* request,
                                   v1::Worker* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   RETURN_IF_ERROR(CheckPseudonym("name", request->name()));
                   ASSIGN_OR_RETURN(*response, RevokeWorker(connection, caller, request->name()));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* FindRefused(grpc::CallbackServerContext* context,
                                        const v1::FindRefusedRequest* request,
                                        v1::FindRefusedResponse* response) override {
    return Unary(
        calls_, request, context, [=](Connection& connection, const Caller&) -> absl::Status {
          RETURN_IF_ERROR(CheckRange("token_ids", request->token_ids_size(), 0, 10'000));
          ASSIGN_OR_RETURN(*response, preference_broker::FindRefused(connection, *request));
          return absl::OkStatus();
        });
  }

 private:
  const CallContext calls_;
  // File of the authority that signs certificates of workers; empty: none does.
  const std::string authority_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeWorkerService(CallContext calls, std::string authority) {
  return std::make_unique<WorkerServiceImpl>(calls, std::move(authority));
}

}  // namespace backflip::preference_broker
