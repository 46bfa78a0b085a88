// Bundles, claims and the assignment of workers.
#include <optional>
#include <string>
#include <utility>

#include "common/experience/limits.h"
#include "common/rpc/collect_token.h"
#include "common/rpc/limits.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/db/topics.h"
#include "services/preference_broker/store/runs/bundles.h"
#include "services/preference_broker/store/runs/claims.h"
#include "services/preference_broker/store/runs/clips.h"
#include "services/preference_broker/store/runs/scenes.h"

namespace backflip::preference_broker {
namespace {

// Batches from one pruning of candidates to the next.
constexpr int64_t kPruneEvery = 8;

class BundleServiceImpl final : public v1::BundleService::CallbackService {
 public:
  explicit BundleServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerReadReactor<v1::PutBundleRequest>* Put(grpc::CallbackServerContext* context,
                                                     v1::PutBundleResponse*) override {
    struct State {
      std::string sha256;
      ChunkedBytes data;
    };
    auto state = std::make_shared<State>();
    return UploadStream<v1::PutBundleRequest>::Start(
        calls_, context,
        [state](v1::PutBundleRequest& request) -> absl::Status {
          if (!state->data.begun()) {
            state->sha256 = request.sha256();
            RETURN_IF_ERROR(state->data.Begin("task bundle", request.size(), request.sha256(),
                                              experience::kMaxBundleBytes));
          }
          return state->data.Add(request.data());
        },
        [state](Connection& connection, const Caller&) -> absl::Status {
          RETURN_IF_ERROR(state->data.Check());
          return PutBundle(connection, state->sha256, state->data.bytes());
        });
  }

  grpc::ServerWriteReactor<v1::BundleChunk>* Get(grpc::CallbackServerContext* context,
                                                 const v1::GetBundleRequest* request) override {
    using Stream = PagedStream<v1::BundleChunk>;
    return Stream::Start(
        calls_, request, context, "",
        [request, index = int32_t{0}](
            Connection& connection, const Caller&,
            std::deque<v1::BundleChunk>* page) mutable -> absl::StatusOr<Stream::Next> {
          RETURN_IF_ERROR(CheckClipId("sha256", request->sha256()));
          ASSIGN_OR_RETURN(std::optional<std::string> chunk,
                           GetBundleChunk(connection, request->sha256(), index++));
          if (!chunk.has_value()) return Stream::Next::kEnd;
          page->emplace_back().set_data(*std::move(chunk));
          return Stream::Next::kMore;
        });
  }

  grpc::ServerUnaryReactor* PutScene(grpc::CallbackServerContext* context,
                                     const v1::PutSceneRequest* request,
                                     v1::PutSceneResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller&) -> absl::Status {
                   RETURN_IF_ERROR(CheckGlb(request->glb()));
                   ASSIGN_OR_RETURN(*response->mutable_scene_hash(),
                                    preference_broker::PutScene(connection, request->glb()));
                   return absl::OkStatus();
                 });
  }

 private:
  const CallContext calls_;
};

class ClaimServiceImpl final : public v1::ClaimService::CallbackService {
 public:
  ClaimServiceImpl(CallContext calls, LeaseTimes leases) : calls_(calls), leases_(leases) {}

  grpc::ServerUnaryReactor* Claim(grpc::CallbackServerContext* context,
                                  const v1::ClaimRequest* request,
                                  v1::ClaimResponse* response) override {
    return LongPoll::Start(
        calls_, request, context, request->wait_ms(), kClaimsTopic,
        [=, this](Connection& connection, const Caller& caller) -> absl::StatusOr<bool> {
          RETURN_IF_ERROR(CheckName("claimant", request->claimant()));
          RETURN_IF_ERROR(CheckText("advertise", request->advertise(), 256));
          if (caller.role == Role::kLearner && request->advertise().empty()) {
            return absl::InvalidArgumentError(
                "advertise is missing: a learner says at which address workers reach it");
          }
          ASSIGN_OR_RETURN(
              auto claim, preference_broker::Claim(connection, caller, *request, leases_.claim_ms));
          if (!claim.has_value()) return false;
          *response = *std::move(claim);
          return true;
        });
  }

  grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context,
                                  const v1::RenewClaimRequest* request,
                                  v1::RenewClaimResponse* response) override {
    return Unary(
        calls_, request, context,
        [=, this](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRange("wanted_steps", request->wanted_steps(), 0, rpc::kMaxSteps));
          ASSIGN_OR_RETURN(const v1::RunState state,
                           RenewClaim(connection, caller, *request, leases_.claim_ms));
          response->set_state(state);
          return absl::OkStatus();
        });
  }

  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context,
                                    const v1::ReleaseClaimRequest* request,
                                    v1::ReleaseClaimResponse*) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckText("failure", request->failure(), 4000));
                   RETURN_IF_ERROR(CheckText("trouble", request->trouble(), 4000));
                   if (request->finished() && !request->failure().empty()) {
                     return absl::InvalidArgumentError(
                         "a run is given back as finished or as failed, not as both");
                   }
                   return ReleaseClaim(connection, caller, *request);
                 });
  }

  grpc::ServerUnaryReactor* CompleteBatch(grpc::CallbackServerContext* context,
                                          const v1::CompleteBatchRequest* request,
                                          v1::CompleteBatchResponse*) override {
    return Unary(
        calls_, request, context,
        [=, this](Connection& connection, const Caller& caller) -> absl::Status {
          RETURN_IF_ERROR(CheckRange("iteration", request->iteration(), 0, rpc::kMaxIteration));
          RETURN_IF_ERROR(CheckRange("steps", request->steps(), 0, rpc::kMaxSteps));
          RETURN_IF_ERROR(preference_broker::CompleteBatch(connection, caller, *request));
          if (request->iteration() % kPruneEvery == kPruneEvery - 1) {
            // not before the answer, which the learner waits for; a full pool: next time
            (void)calls_.pool->Submit(
                [run_id = request->run_id()](Connection& connection) {
                  (void)PruneClips(connection, run_id);
                },
                Lane::kBulk);
          }
          return absl::OkStatus();
        });
  }

 private:
  const CallContext calls_;
  const LeaseTimes leases_;
};

class WorkServiceImpl final : public v1::WorkService::CallbackService {
 public:
  explicit WorkServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* AssignWork(grpc::CallbackServerContext* context,
                                       const v1::AssignWorkRequest* request,
                                       v1::Assignment* response) override {
    return LongPoll::Start(
        calls_, request, context, request->wait_ms(), kWorkTopic,
        [=, told = request->failed_run_id() == 0](
            Connection& connection, const Caller& caller) mutable -> absl::StatusOr<bool> {
          RETURN_IF_ERROR(CheckName("worker", request->worker()));
          RETURN_IF_ERROR(CheckRange("threads", request->threads(), 1, 4096));
          RETURN_IF_ERROR(CheckText("failure", request->failure(), 4000));
          if (!std::exchange(told, true)) {
            RETURN_IF_ERROR(ReportWorkerFailure(connection, caller, *request));
          }
          ASSIGN_OR_RETURN(auto assignment,
                           preference_broker::AssignWork(connection, caller, *request));
          if (!assignment.has_value()) return false;
          *response = *std::move(assignment);
          // the claim's own is the learner's secret
          response->set_collect_token(
              rpc::CollectToken(response->collect_token(), caller.token_id));
          return true;
        });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeBundleService(CallContext calls) {
  return std::make_unique<BundleServiceImpl>(calls);
}
std::unique_ptr<grpc::Service> MakeClaimService(CallContext calls, LeaseTimes leases) {
  return std::make_unique<ClaimServiceImpl>(calls, leases);
}
std::unique_ptr<grpc::Service> MakeWorkService(CallContext calls) {
  return std::make_unique<WorkServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
