// A simulated teacher at work: a client of the public LabelingService.
#ifndef BACKFLIP_SERVICES_LABELER_TEACHER_CLIENT_H_
#define BACKFLIP_SERVICES_LABELER_TEACHER_CLIENT_H_

#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "backflip/v1/label.grpc.pb.h"
#include "common/base/mutex.h"
#include "common/rpc/client.h"
#include "common/rpc/daemon.h"
#include "common/teachers/teacher.h"

namespace backflip::labeler {

struct TeacherClientConfig {
  // 0: any run that the token may answer for.
  int64_t run_id = 0;
  // Questions held at once, 1 to 16.
  int count = 8;
  // 0: as fast as possible.
  double labels_per_minute = 0;
  // The fault model: shares in [0, 1] of the leases, drawn for each lease. A question that
  // is left unanswered goes to another lease.
  //
  // Not answered: the lease runs out. Such a teacher sends no heartbeats, which would keep
  // all of its leases alive.
  double never_answer = 0;
  // Answered twice, as by a client that lost the first reply.
  double answer_twice = 0;
};

// Leases, judges and submits. Waits for a broker that cannot be reached; a refused token or
// a task without a true reward ends it. Every answer keeps its idempotency key when it is
// tried again, so that it becomes one label. After a drain nothing more is leased, and
// questions in hand are answered at once, whatever the rate, so that nobody has to wait
// until their leases run out.
class TeacherClient final : public rpc::Daemon {
 public:
  TeacherClient(rpc::Client broker, TeacherClientConfig config, teachers::Teacher teacher);
  ~TeacherClient() override { Stop(); }

 private:
  absl::Status Work() override;
  void OnDrain() override;
  // Up to `count` questions; none when none came for a while.
  absl::StatusOr<v1::LeaseResponse> Lease();
  // A choice for two clips, a ranking for more.
  absl::StatusOr<v1::Answer> AnswerTo(const v1::Question& question);
  absl::Status Answer(const v1::Question& question);
  // Waits for the next turn at the wanted rate, keeping the leases alive.
  void WaitForTurn();
  // Until `until` or the drain.
  void Pause(absl::Time until);
  // True with probability `share`.
  bool Chance(double share);

  const rpc::Client broker_;
  const TeacherClientConfig config_;
  const std::unique_ptr<v1::LabelingService::Stub> stub_;
  const teachers::Teacher teacher_;
  // Draws the faults; seeded differently each time.
  std::mt19937_64 faults_;
  absl::Time next_turn_ = absl::InfinitePast();
  absl::Time next_heartbeat_ = absl::InfinitePast();
  absl::Duration lease_ = absl::Seconds(30);
  int64_t answers_ = 0;

  base::Mutex mutex_;
  base::CondVar changed_;
  // The long poll in progress, for Drain to cancel.
  grpc::ClientContext* polling_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace backflip::labeler

#endif  // BACKFLIP_SERVICES_LABELER_TEACHER_CLIENT_H_
