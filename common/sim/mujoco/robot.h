// What of a model is the robot, and from where it is well seen.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_ROBOT_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_ROBOT_H_

#include <array>
#include <vector>

#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {

// The bodies that hang together with one that an actuator drives, by joints; every body that
// moves, where none is driven; all bodies, where none moves.
struct Robot {
  // The topmost of them. 0, the world, only in a model without bodies.
  int root;
  std::vector<bool> bodies;  // [nbody]
};
Robot RobotOf(const mjModel* model);

// Whether a viewer shows what is in a group. MuJoCo's own show groups 0 to 2 at first; where the
// robot has nothing in these, all groups are shown.
class VisibleGroups {
 public:
  explicit VisibleGroups(const mjModel* model);
  bool Show(int group) const { return all_ || group < 3; }

 private:
  bool all_;
};

// A geom's or site's colour as MuJoCo draws it (red, green, blue, opacity; 0 to 1): its own, unless
// that is the default one and it has a material. `material` -1: none.
std::array<float, 4> ColourOf(const mjModel* model, const float* rgba, int material);

// Whether anything of the robot can be seen: a geom, site, tendon, skin or flex.
bool IsVisible(const mjModel* model, const Robot& robot);

using Point = std::array<double, 3>;

// The robot at one moment, as a camera sees it. Metres, in the world.
struct RobotView {
  Point target;                // what the camera looks at
  std::vector<Point> corners;  // of the boxes around what is visible of it
};
// `data` has positions (mj_kinematics). Planes do not count, nor the world's height fields; sites
// and tendons where there is nothing else to see, and bodies' own sizes where there is not even
// that.
std::vector<Point> RobotCorners(const mjModel* model, const mjData* data, const Robot& robot);

// How far a camera is (metres) that shows the robot at about half of a picture's height or width in
// the first view, all of it in all of them, and never much smaller, as far as these go together.
// Degrees as MuJoCo's free camera has them; its field of view; pictures of 4:3, or square.
double CameraDistance(const std::vector<RobotView>& views, double azimuth, double elevation);

// The least share of the picture's height or width that the robot then fills in any of them.
double LeastShare(const std::vector<RobotView>& views, double azimuth, double elevation,
                  double distance);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_ROBOT_H_
