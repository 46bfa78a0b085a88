// Experience to and from the protocol: the only place where that is done.
#ifndef BACKFLIP_COMMON_EXPERIENCE_WIRE_H_
#define BACKFLIP_COMMON_EXPERIENCE_WIRE_H_

#include "absl/status/statusor.h"
#include "backflip/v1/clip.pb.h"
#include "backflip/v1/collect.pb.h"
#include "common/experience/clip.h"
#include "common/experience/trajectory.h"

namespace backflip::experience {

// Fills all fields but `end`, the environment's state. Writes true rewards if the
// trajectory has them: who may not see them is the caller's business.
void ToProto(const Trajectory& trajectory, v1::Trajectory* proto);
// The sizes in the message have been checked. Senders before protocol 1.1 give no
// reasons for the ends of episodes: these become time limits.
Trajectory FromProto(const v1::Trajectory& proto, int action_size);

// Fills steps, observations, actions, poses, states and true rewards. `bodies`:
// poses in each moment.
void ToProto(const Clip& clip, int bodies, v1::Clip* proto);
// Reads what rewards are learned from: observations and actions alone.
// INVALID_ARGUMENT when their numbers are not those of a clip of `steps` steps.
absl::StatusOr<Clip> FromProto(const v1::Clip& proto, int observation_size, int action_size);

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_WIRE_H_
