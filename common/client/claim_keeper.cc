#include "common/client/claim_keeper.h"

#include <chrono>
#include <future>
#include <utility>

#include "common/base/log.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"

namespace backflip::client {

absl::StatusOr<std::unique_ptr<ClaimKeeper>> ClaimKeeper::Claim(const rpc::Client& broker,
                                                                const std::string& claimant,
                                                                const std::string& advertise,
                                                                const std::function<bool()>& stop) {
  const auto stub = v1::ClaimService::NewStub(broker.channel());
  v1::ClaimRequest request;
  request.set_claimant(claimant);
  request.set_advertise(advertise);
  request.set_wait_ms(rpc::kMaxWaitMs);
  v1::ClaimResponse claim;
  const auto context = broker.LongPollContext();
  // shared: the callback may still be in set_value when the wait below ends
  const auto promise = std::make_shared<std::promise<grpc::Status>>();
  std::future<grpc::Status> answer = promise->get_future();
  stub->async()->Claim(context.get(), &request, &claim,
                       [promise](grpc::Status status) { promise->set_value(std::move(status)); });
  while (answer.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    if (stop && stop()) context->TryCancel();
  }
  RETURN_IF_ERROR(rpc::FromGrpc(answer.get()));
  if (!claim.has_run()) return nullptr;
  return std::unique_ptr<ClaimKeeper>(new ClaimKeeper(broker, std::move(claim)));
}

ClaimKeeper::ClaimKeeper(const rpc::Client& broker, v1::ClaimResponse claim)
    : broker_(broker),
      claim_(std::move(claim)),
      stub_(v1::ClaimService::NewStub(broker_.channel())),
      renewer_([this] { RenewLoop(); }) {}

ClaimKeeper::~ClaimKeeper() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  renewer_.join();
}

void ClaimKeeper::SetWantedSteps(int64_t steps) {
  base::MutexLock lock(&mutex_);
  if ((wanted_steps_ == 0) != (steps == 0)) {
    renew_now_ = true;
    wake_.NotifyAll();
  }
  wanted_steps_ = steps;
}

void ClaimKeeper::RenewLoop() {
  const auto interval = std::chrono::milliseconds(claim_.lease_ms() / 3);
  while (true) {
    v1::RenewClaimRequest request;
    request.set_run_id(run().id());
    request.set_epoch(epoch());
    {
      base::MutexLock lock(&mutex_);
      const auto until = std::chrono::steady_clock::now() + interval;
      while (!stop_ && !renew_now_) {
        const auto left = until - std::chrono::steady_clock::now();
        if (left <= left.zero()) break;
        wake_.WaitFor(&mutex_, left);
      }
      if (stop_) return;
      renew_now_ = false;
      request.set_wanted_steps(wanted_steps_);
    }
    const auto context = broker_.UnaryContext(absl::Milliseconds(claim_.lease_ms() / 2));
    v1::RenewClaimResponse response;
    const absl::Status status = rpc::FromGrpc(stub_->Renew(context.get(), request, &response));
    if (status.ok()) {
      state_ = response.state();
      if (response.state() != v1::RUNNING) lost_ = true;
    } else if (absl::IsAborted(status) || absl::IsNotFound(status)) {
      base::LogWarning("claim lost", {{"run", run().id()}, {"reason", status.message()}});
      lost_ = true;
    }
    // any other error: the broker is away; the epoch fences us if somebody else takes over
  }
}

absl::Status ClaimKeeper::ReleaseFinished() {
  v1::ReleaseClaimRequest request;
  request.set_finished(true);
  return Release(std::move(request));
}

absl::Status ClaimKeeper::ReleaseFailed(const std::string& reason) {
  v1::ReleaseClaimRequest request;
  request.set_failure(rpc::Sentence(reason));
  return Release(std::move(request));
}

absl::Status ClaimKeeper::GiveBack(const absl::Status& trouble) {
  v1::ReleaseClaimRequest request;
  request.set_trouble(rpc::Sentence(trouble.message()));
  return Release(std::move(request));
}

absl::Status ClaimKeeper::Release(v1::ReleaseClaimRequest request) {
  {
    // a renewal after the release would look like a loss
    base::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  request.set_run_id(run().id());
  request.set_epoch(epoch());
  return base::Retry({}, nullptr, [&] {
    const auto context = broker_.UnaryContext();
    v1::ReleaseClaimResponse response;
    return rpc::FromGrpc(stub_->Release(context.get(), request, &response));
  });
}

}  // namespace backflip::client
