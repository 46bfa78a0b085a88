#include "services/policy_learner/policy_learner.h"

#include <utility>
#include <vector>

#include "backflip/v1/workers.grpc.pb.h"
#include "common/base/log.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/learn/torch_runtime.h"
#include "common/rpc/status.h"
#include "services/policy_learner/grpc_broker_link.h"
#include "services/policy_learner/learner_loop.h"
#include "services/policy_learner/own_address.h"

namespace backflip::policy_learner {
namespace {

// How long workers may take to return their tickets.
constexpr absl::Duration kReleaseGrace = absl::Seconds(5);
constexpr absl::Duration kFindRefusedPatience = absl::Seconds(3);

PolicyLearnerService::FindRefused AskBroker(const rpc::Client& broker) {
  return [broker](const std::vector<int64_t>& ids) -> absl::StatusOr<std::vector<int64_t>> {
    v1::FindRefusedRequest request;
    request.mutable_token_ids()->Add(ids.begin(), ids.end());
    v1::FindRefusedResponse response;
    RETURN_IF_ERROR(rpc::FromGrpc(
        v1::WorkerService::NewStub(broker.channel())
            ->FindRefused(broker.UnaryContext(kFindRefusedPatience).get(), request, &response)));
    return std::vector<int64_t>(response.token_ids().begin(), response.token_ids().end());
  };
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyLearner>> PolicyLearner::Listen(rpc::Client broker,
                                                                     PolicyLearnerConfig config) {
  learn::SetUpTorch();
  auto learner =
      std::unique_ptr<PolicyLearner>(new PolicyLearner(std::move(broker), std::move(config)));
  ASSIGN_OR_RETURN(learner->server_, rpc::Server::Start({.listen = learner->config_.listen,
                                                         .services = {&learner->service_},
                                                         .on_drain = nullptr}));
  base::LogInfo("policy-learner serves", {{"address", learner->address()}});
  return learner;
}

PolicyLearner::PolicyLearner(rpc::Client broker, PolicyLearnerConfig config)
    : RunServer(std::move(broker)), config_(std::move(config)) {}

PolicyLearner::~PolicyLearner() {
  Stop();
  if (server_ != nullptr) server_->Drain(kReleaseGrace);
}

absl::StatusOr<std::string> PolicyLearner::AdvertisedAddress() const {
  if (!config_.advertise.empty()) return config_.advertise;
  return OwnAddress(address(), broker().address());
}

void PolicyLearner::Serve(std::unique_ptr<client::ClaimKeeper> claim) {
  const int64_t run = claim->run().id();
  base::LogInfo("run claimed", {{"run", run}, {"epoch", claim->epoch()}});
  const auto stop = [&] { return Draining() || claim->Lost(); };
  absl::Status status;
  {
    GrpcBrokerLink link(broker(), claim.get(), stop);
    auto loop = LearnerLoop::Create(claim->run(), &link);
    status = loop.status();
    if (status.ok()) {
      service_.Serve((*loop)->collector(), claim->collect_token(), AskBroker(broker()));
      status = (*loop)->Run(stop);
      claim->SetWantedSteps(0);
      service_.StopServing(kReleaseGrace);
    }
  }
  absl::Status released;
  if (status.ok()) {
    base::LogInfo("run finished", {{"run", run}});
    released = claim->ReleaseFinished();
  } else if (claim->Lost() || absl::IsAborted(status)) {
    base::LogInfo("run let go", {{"run", run}, {"state", claim->state()}});
  } else if (absl::IsCancelled(status) || base::IsRetryable(status)) {
    // the claim is still ours to give back: another learner goes on from the checkpoint
    base::LogInfo("run given back", {{"run", run}, {"reason", status.message()}});
    released = claim->GiveBack(absl::IsCancelled(status) ? absl::OkStatus() : status);
  } else {
    base::LogError("run failed", {{"run", run}, {"reason", status.message()}});
    released = claim->ReleaseFailed(std::string(status.message()));
  }
  if (!released.ok()) {
    base::LogWarning("run not released", {{"run", run}, {"reason", released.message()}});
  }
}

}  // namespace backflip::policy_learner
