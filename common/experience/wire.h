// Experience to and from the protocol: the only place where that is done.
#ifndef BACKFLIP_COMMON_EXPERIENCE_WIRE_H_
#define BACKFLIP_COMMON_EXPERIENCE_WIRE_H_

#include "absl/status/statusor.h"
#include "backflip/v1/clip.pb.h"
#include "backflip/v1/collect.pb.h"
#include "common/experience/clip.h"
#include "common/experience/trajectory.h"

namespace backflip::experience {

// Fills what the message has of a trajectory; its EnvironmentState is not touched.
// True rewards are written where the trajectory has them.
void ToProto(const Trajectory& trajectory, v1::Trajectory* proto);
// Of a message whose sizes were checked. A sender of an older version gives no
// reasons for ends: time limits.
Trajectory FromProto(const v1::Trajectory& proto, int action_size);

// Fills what the message has of a clip. `bodies`: of each moment's poses.
void ToProto(const Clip& clip, int bodies, v1::Clip* proto);
// What is learned from: observations and actions alone. INVALID_ARGUMENT when the
// sizes are not those of a clip of so many numbers a moment.
absl::StatusOr<Clip> FromProto(const v1::Clip& proto, int observation_size, int action_size);

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_WIRE_H_
