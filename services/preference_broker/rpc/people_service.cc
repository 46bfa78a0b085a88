#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/people/invites.h"
#include "services/preference_broker/store/people/people.h"
#include "services/preference_broker/store/review/labelers.h"

namespace backflip::preference_broker {
namespace {

absl::Status CheckSecret(const std::string& secret) {
  if (secret.empty())
    return absl::InvalidArgumentError("secret is missing: it is what follows #invite= in the link");
  return CheckText("secret", secret, 256);
}

// A platform that has not filled its link in sends everybody with the same id: they would be one
// labeler.
absl::Status CheckOutsideId(const std::string& id) {
  RETURN_IF_ERROR(CheckName("outside_id", id));
  // in small letters, without signs
  static constexpr absl::string_view kNoIds[] = {"assignmentidnotavailable",
                                                 "prolificpid",
                                                 "prolificid",
                                                 "yourprolificpid",
                                                 "yourprolificid",
                                                 "workerid",
                                                 "yourworkerid",
                                                 "participant",
                                                 "participantid",
                                                 "yourparticipantid",
                                                 "id",
                                                 "yourid",
                                                 "undefined",
                                                 "null",
                                                 "none",
                                                 "nan"};
  std::string small = absl::AsciiStrToLower(id);
  small.erase(std::remove_if(small.begin(), small.end(),
                             [](unsigned char c) { return absl::ascii_ispunct(c) || c == ' '; }),
              small.end());
  if (id.find_first_of("{}[]<>$%") == std::string::npos &&
      std::find(std::begin(kNoIds), std::end(kNoIds), small) == std::end(kNoIds)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", id,
                   "' is no id, but a placeholder that the platform was to fill in: enter your own "
                   "id there, or tell who sent the link"));
}

class PeopleServiceImpl final : public v1::PeopleService::CallbackService {
 public:
  PeopleServiceImpl(CallContext calls, FeedNumberer* numberer)
      : calls_(calls), numberer_(numberer) {}

  grpc::ServerUnaryReactor* Invite(grpc::CallbackServerContext* context,
                                   const v1::InviteRequest* request,
                                   v1::InviteResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckInvite(*request));
                   if (request->run_ids().empty()) RETURN_IF_ERROR(CheckRunAllowed(caller, 0));
                   for (const int64_t run_id : request->run_ids())
                     RETURN_IF_ERROR(CheckRunAllowed(caller, run_id));
                   ASSIGN_OR_RETURN(*response, MakeInvite(connection, caller, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* DescribeInvite(grpc::CallbackServerContext* context,
                                           const v1::DescribeInviteRequest* request,
                                           v1::InviteDescription* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller&) -> absl::Status {
                   RETURN_IF_ERROR(CheckSecret(request->secret()));
                   ASSIGN_OR_RETURN(
                       *response, preference_broker::DescribeInvite(connection, request->secret()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* AcceptInvite(grpc::CallbackServerContext* context,
                                         const v1::AcceptInviteRequest* request,
                                         v1::AcceptInviteResponse* response) override {
    return Unary(calls_, request, context,
                 [=, token = rpc::BearerToken(*context)](Connection& connection,
                                                         const Caller&) -> absl::Status {
                   RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
                   RETURN_IF_ERROR(CheckSecret(request->secret()));
                   if (!request->outside_id().empty())
                     RETURN_IF_ERROR(CheckOutsideId(request->outside_id()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::AcceptInvite(connection, *request, token));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* SignOut(grpc::CallbackServerContext* context,
                                    const v1::SignOutRequest* request,
                                    v1::SignOutResponse*) override {
    return Unary(calls_, request, context,
                 [=, this, token = rpc::BearerToken(*context)](
                     Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(preference_broker::SignOut(connection, caller, token));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* ListLabelers(grpc::CallbackServerContext* context,
                                         const v1::ListLabelersRequest* request,
                                         v1::ListLabelersResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(*response, LabelerStatistics(connection, request->run_id()));
                   return CutPage(request->page(), response->mutable_labelers(), response);
                 });
  }

  grpc::ServerUnaryReactor* SetLabelerState(grpc::CallbackServerContext* context,
                                            const v1::SetLabelerStateRequest* request,
                                            v1::Labeler* response) override {
    return Unary(
        calls_, request, context,
        [=, this](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckPerson(request->labeler_id(), request->name()));
          RETURN_IF_ERROR(CheckPlainText("reason", request->reason(), 500));
          if (request->state() == v1::LABELER_STATE_UNSPECIFIED ||
              !v1::LabelerState_IsValid(request->state())) {
            return absl::InvalidArgumentError("state must be ACTIVE, LABELER_PAUSED or REVOKED");
          }
          if (request->state() == v1::REVOKED && caller.role != Role::kOperator) {
            return absl::PermissionDeniedError(
                "a reviewer may pause and resume a labeler, but only an operator may revoke one");
          }
          ASSIGN_OR_RETURN(*response,
                           preference_broker::SetLabelerState(connection, caller, *request));
          calls_.authenticator->Forget();
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* ForgetLabeler(grpc::CallbackServerContext* context,
                                          const v1::ForgetLabelerRequest* request,
                                          v1::ForgetLabelerResponse* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckPerson(request->labeler_id(), request->name()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::ForgetLabeler(connection, caller, *request));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* ResetLabeler(grpc::CallbackServerContext* context,
                                         const v1::ResetLabelerRequest* request,
                                         v1::Labeler* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckPerson(request->labeler_id(), request->name()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::ResetLabeler(connection, caller, *request));
                   calls_.authenticator->Forget();
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* ListInvites(grpc::CallbackServerContext* context,
                                        const v1::ListInvitesRequest* request,
                                        v1::ListInvitesResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRange("limit", request->limit(), 0, 1000));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::ListInvites(connection, caller, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* WithdrawInvite(grpc::CallbackServerContext* context,
                                           const v1::WithdrawInviteRequest* request,
                                           v1::InviteState* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   ASSIGN_OR_RETURN(*response, preference_broker::WithdrawInvite(
                                                   connection, caller, request->invite_id()));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* SetInviteCap(grpc::CallbackServerContext* context,
                                         const v1::SetInviteCapRequest* request,
                                         v1::InviteState* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRange("cap", request->cap(), 1, kMaxGroupCap));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::SetInviteCap(connection, caller, *request));
                   return absl::OkStatus();
                 });
  }

  grpc::ServerUnaryReactor* Statement(grpc::CallbackServerContext* context,
                                      const v1::StatementRequest* request,
                                      v1::StatementResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   RETURN_IF_ERROR(CheckRange("since_ms", request->since_ms(), 0, kMaxMillis - 1));
                   RETURN_IF_ERROR(CheckRange("until_ms", request->until_ms(), 0, kMaxMillis - 1));
                   ASSIGN_OR_RETURN(*response, preference_broker::Statement(connection, *request));
                   return CutPage(request->page(), response->mutable_rows(), response);
                 });
  }

  grpc::ServerUnaryReactor* RetractLabels(grpc::CallbackServerContext* context,
                                          const v1::RetractLabelsRequest* request,
                                          v1::RetractLabelsResponse* response) override {
    return Unary(calls_, request, context,
                 [=, this](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   RETURN_IF_ERROR(CheckRequestId("request_id", request->request_id()));
                   RETURN_IF_ERROR(CheckPerson(request->labeler_id(), request->name()));
                   RETURN_IF_ERROR(CheckRange("since_ms", request->since_ms(), 0, kMaxMillis));
                   ASSIGN_OR_RETURN(RetractedLabels retracted,
                                    preference_broker::RetractLabels(connection, caller, *request));
                   for (const int64_t run_id : retracted.run_ids) numberer_->Number(run_id);
                   *response = std::move(retracted.response);
                   return absl::OkStatus();
                 });
  }

 private:
  const CallContext calls_;
  FeedNumberer* const numberer_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakePeopleService(CallContext calls, FeedNumberer* numberer) {
  return std::make_unique<PeopleServiceImpl>(calls, numberer);
}

}  // namespace backflip::preference_broker
