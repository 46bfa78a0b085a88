// Tokens, the audit, and what is deleted.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/people/tokens.h"
#include "services/preference_broker/store/runs/deletion.h"

namespace backflip::preference_broker {
namespace {

absl::Status CheckCreateToken(const v1::CreateTokenRequest& request) {
  RETURN_IF_ERROR(CheckRequestId("request_id", request.request_id()));
  RETURN_IF_ERROR(CheckPseudonym("name", request.name()));
  RETURN_IF_ERROR(CheckRange("expires_ms", request.expires_ms(), 0, kMaxMillis - 1));
  const auto has = [&](Role role) { return static_cast<v1::Role>(role) == request.role(); };
  if (std::none_of(kAllRoles.begin(), kAllRoles.end(), has)) {
    return absl::InvalidArgumentError(
        "role must be that of a caller with a token: labeler, teacher, reviewer, operator, "
        "learner, trainer or worker");
  }
  return absl::OkStatus();
}

class OperationServiceImpl final : public v1::OperationService::CallbackService {
 public:
  explicit OperationServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* ListTokens(grpc::CallbackServerContext* context,
                                       const v1::ListTokensRequest* request,
                                       v1::ListTokensResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   ASSIGN_OR_RETURN(*response, preference_broker::ListTokens(connection, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* CreateToken(grpc::CallbackServerContext* context,
                                        const v1::CreateTokenRequest* request,
                                        v1::CreateTokenResponse* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   RETURN_IF_ERROR(CheckCreateToken(*request));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::CreateToken(connection, caller, *request));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* RotateToken(grpc::CallbackServerContext* context,
                                        const v1::RotateTokenRequest* request,
                                        v1::CreateTokenResponse* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::RotateToken(connection, caller, *request));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* RevokeToken(grpc::CallbackServerContext* context,
                                        const v1::RevokeTokenRequest* request,
                                        v1::Token* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   ASSIGN_OR_RETURN(*response, preference_broker::RevokeToken(connection, caller,
                                                                              request->token_id()));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* ListAudit(grpc::CallbackServerContext* context,
                                      const v1::ListAuditRequest* request,
                                      v1::ListAuditResponse* response) override {
    return Unary(
        calls_, request, context,
        [=](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
          RETURN_IF_ERROR(CheckText("name", request->name(), 256));
          RETURN_IF_ERROR(CheckRange("since_ms", request->since_ms(), 0, kMaxMillis - 1));
          RETURN_IF_ERROR(CheckRange("before_id", request->before_id(), 0, int64_t{1} << 62));
          RETURN_IF_ERROR(CheckRange("limit", request->limit(), 0, 1000));
          ASSIGN_OR_RETURN(*response, preference_broker::ListAudit(connection, *request));
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* DeleteRun(grpc::CallbackServerContext* context,
                                      const v1::DeleteRunRequest* request,
                                      v1::DeleteRunResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::DeleteRun(connection, caller, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* CollectGarbage(grpc::CallbackServerContext* context,
                                           const v1::CollectGarbageRequest* request,
                                           v1::CollectGarbageResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckOfAllRuns(caller));
                   RETURN_IF_ERROR(CheckRange("days", request->days(), 0, 3650));
                   ASSIGN_OR_RETURN(
                       *response, preference_broker::CollectGarbage(connection, caller, *request));
                   return absl::OkStatus();
                 });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeOperationService(CallContext calls) {
  return std::make_unique<OperationServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
