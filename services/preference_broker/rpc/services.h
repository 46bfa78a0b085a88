// The RPC edge: each method checks its request, and hands it to store/. Who may
// call is in roles.cc, what a call promises in proto/backflip/v1.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SERVICES_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SERVICES_H_

#include <grpcpp/grpcpp.h>

#include <memory>

#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/people.grpc.pb.h"
#include "backflip/v1/review.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "services/preference_broker/rpc/calls.h"
#include "services/preference_broker/rpc/feed_numberer.h"

namespace backflip::preference_broker {

// How long claims and leases last without renewal, milliseconds.
struct Leases {
  int32_t claim_ms = 10'000;
  int32_t labeler_ms = 60'000;
  // A teacher answers at once, and one that died should not hold up a round.
  int32_t teacher_ms = 15'000;
};

std::unique_ptr<grpc::Service> MakeRunService(Core core);
std::unique_ptr<grpc::Service> MakeClipService(Core core);
std::unique_ptr<grpc::Service> MakeLabelingService(Core core, Leases leases,
                                                   FeedNumberer* numberer);
std::unique_ptr<grpc::Service> MakePeopleService(Core core, FeedNumberer* numberer);
std::unique_ptr<grpc::Service> MakeTrainingService(Core core);
std::unique_ptr<grpc::Service> MakeSnapshotService(Core core);
std::unique_ptr<grpc::Service> MakeBundleService(Core core);
std::unique_ptr<grpc::Service> MakeClaimService(Core core, Leases leases);
std::unique_ptr<grpc::Service> MakeWorkService(Core core);
std::unique_ptr<grpc::Service> MakeReviewService(Core core, FeedNumberer* numberer);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SERVICES_H_
