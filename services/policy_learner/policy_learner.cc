#include "services/policy_learner/policy_learner.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/learn/torch_runtime.h"
#include "services/policy_learner/grpc_broker_link.h"
#include "services/policy_learner/learner_loop.h"

namespace backflip::policy_learner {
namespace {

// How long workers may take to return their tickets.
constexpr absl::Duration kReleaseGrace = absl::Seconds(5);

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyLearner>> PolicyLearner::Start(PolicyLearnerConfig config) {
  learn::SetUpTorch();
  const learn::Blas blas = learn::FindBlas();
  base::LogInfo("linear algebra", {{"library", blas.library}});
  if (!blas.warning.empty()) base::LogWarning(blas.warning);

  auto learner = std::unique_ptr<PolicyLearner>(new PolicyLearner(std::move(config)));
  auto server = rpc::Server::Start(
      {.listen = learner->config_.listen, .services = {&learner->service_}, .on_drain = nullptr});
  if (!server.ok()) return server.status();
  learner->server_ = *std::move(server);
  learner->loop_ = std::thread([l = learner.get()] { l->Loop(); });
  base::LogInfo("policy-learner serves", {{"address", learner->address()}});
  return learner;
}

PolicyLearner::PolicyLearner(PolicyLearnerConfig config)
    : config_(std::move(config)),
      broker_(config_.broker, config_.token),
      claimant_(base::RandomHex128()) {}

PolicyLearner::~PolicyLearner() { Stop(); }

void PolicyLearner::Wait() {
  if (loop_.joinable()) loop_.join();
  if (server_ != nullptr) server_->Drain(kReleaseGrace);
}

void PolicyLearner::Stop() {
  Drain();
  Wait();
}

void PolicyLearner::Loop() {
  const auto stop = [this] { return draining_.load(); };
  const std::string advertise = config_.advertise.empty() ? address() : config_.advertise;
  while (!draining_) {
    std::unique_ptr<client::ClaimKeeper> claim;
    const absl::Status status = base::Retry({}, stop, [&] {
      auto claimed = client::ClaimKeeper::Claim(broker_, claimant_, advertise, stop);
      if (!claimed.ok()) return claimed.status();
      claim = *std::move(claimed);
      return absl::OkStatus();
    });
    if (claim != nullptr) {
      Serve(claim.get());
    } else if (!status.ok() && !absl::IsCancelled(status)) {
      base::LogWarning("cannot claim a run", {{"reason", status.message()}});
      // back off: a rejected token will not become valid
      (void)base::Retry({.give_up_after = absl::Seconds(3)}, stop,
                        [] { return absl::UnavailableError(""); });
    }
  }
}

void PolicyLearner::Serve(client::ClaimKeeper* claim) {
  const int64_t run = claim->run().id();
  base::LogInfo("run claimed", {{"run", run}, {"epoch", claim->epoch()}});
  const auto stop = [this, claim] { return draining_ || claim->Lost(); };
  absl::Status status;
  {
    GrpcBrokerLink link(broker_, claim, stop);
    auto loop = LearnerLoop::Create(claim->run(), &link);
    status = loop.status();
    if (status.ok()) {
      service_.Serve((*loop)->collector(), claim->collect_token());
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
    released = claim->GiveBack();
  } else {
    base::LogError("run failed", {{"run", run}, {"reason", status.message()}});
    released = claim->ReleaseFailed(std::string(status.message()));
  }
  if (!released.ok()) {
    base::LogWarning("run not released", {{"run", run}, {"reason", released.message()}});
  }
}

}  // namespace backflip::policy_learner
