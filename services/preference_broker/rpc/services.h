// The RPC edge: each method checks its request and hands it to store/. Who may call a method is
// in roles.cc, what it promises in proto/backflip/v1.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SERVICES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/operation.grpc.pb.h"
#include "backflip/v1/people.grpc.pb.h"
#include "backflip/v1/review.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "services/preference_broker/rpc/calls.h"
#include "services/preference_broker/rpc/feed_numberer.h"

namespace backflip::preference_broker {

// How long claims and leases last without renewal, milliseconds.
struct LeaseTimes {
  int32_t claim_ms = 10'000;
  int32_t labeler_ms = 60'000;
  // Teachers answer at once, and one that died should not delay a round.
  int32_t teacher_ms = 15'000;
};

std::unique_ptr<grpc::Service> MakeRunService(CallContext calls);
std::unique_ptr<grpc::Service> MakeClipService(CallContext calls);
std::unique_ptr<grpc::Service> MakeLabelingService(CallContext calls, LeaseTimes leases,
                                                   FeedNumberer* numberer);
std::unique_ptr<grpc::Service> MakePeopleService(CallContext calls, FeedNumberer* numberer);
std::unique_ptr<grpc::Service> MakeTrainingService(CallContext calls);
std::unique_ptr<grpc::Service> MakeSnapshotService(CallContext calls);
std::unique_ptr<grpc::Service> MakeBundleService(CallContext calls);
std::unique_ptr<grpc::Service> MakeClaimService(CallContext calls, LeaseTimes leases);
std::unique_ptr<grpc::Service> MakeWorkService(CallContext calls);
std::unique_ptr<grpc::Service> MakeRestartService(CallContext calls);
// `authority`: file of an authority (rpc::Authority) that signs certificates of workers that join;
// empty: none does.
std::unique_ptr<grpc::Service> MakeWorkerService(CallContext calls, std::string authority);
std::unique_ptr<grpc::Service> MakeReviewService(CallContext calls, FeedNumberer* numberer);
std::unique_ptr<grpc::Service> MakeOperationService(CallContext calls);
std::unique_ptr<grpc::Service> MakeTraceService(CallContext calls);
std::unique_ptr<grpc::Service> MakeConfigService(CallContext calls);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SERVICES_H_
