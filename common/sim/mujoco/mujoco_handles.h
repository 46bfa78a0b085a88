// Ownership of MuJoCo's objects.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_HANDLES_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_HANDLES_H_

#include <mujoco/mujoco.h>

#include <memory>

namespace backflip::sim {

struct DeleteModel {
  void operator()(mjModel* model) const { mj_deleteModel(model); }
};
struct DeleteData {
  void operator()(mjData* data) const { mj_deleteData(data); }
};
using ModelPtr = std::unique_ptr<mjModel, DeleteModel>;
using DataPtr = std::unique_ptr<mjData, DeleteData>;

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_MUJOCO_HANDLES_H_
