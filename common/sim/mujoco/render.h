// Pictures of recorded states, drawn by MuJoCo without a display: EGL without a
// surface, on a GPU or by Mesa's software.
#ifndef BACKFLIP_COMMON_SIM_MUJOCO_RENDER_H_
#define BACKFLIP_COMMON_SIM_MUJOCO_RENDER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/sim/gif.h"
#include "common/sim/mujoco/mujoco_task.h"
#include "common/sim/task.h"

namespace backflip::sim {

// Draws states of one task with the task's camera, which follows its body
// smoothly. One thread only: the one that created it.
class Renderer {
 public:
  // The task must outlive it. Width and height 16 to 2048. Unavailable, with the
  // way out, where there is no OpenGL.
  // `samples` of each pixel, against stairs at edges.
  static absl::StatusOr<std::unique_ptr<Renderer>> Create(const Task& task, int width, int height,
                                                          int samples = 4);
  ~Renderer();
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;

  // The picture of a state [state_size]. Call in order of time; `cut` forgets
  // where the camera was.
  Image Draw(const double* state, bool cut);

  // What is seen in each pixel [height, width] of such a picture, with one sample of each: a body
  // (0: the world, or what several bodies move), or one of these.
  static constexpr int kNothing = -1, kPlane = -2;
  std::vector<int> BodiesSeen(const double* state, bool cut);

 private:
  struct Context;
  Renderer(const MujocoTask& task, std::unique_ptr<Context> context);
  // What MuJoCo's renderer makes of the state, as it is set up.
  Image Render(const double* state, bool cut);

  const MujocoTask& task_;
  const std::unique_ptr<Context> context_;
};

struct AnimationOptions {
  int width = 480;
  int height = 360;
  // Moments of the recording per second of animation. 0: the task's
  // playback_fps.
  double moments_per_second = 0;
  // Stops there, so that a page loads it fast.
  double max_seconds = 8;
  // Of this machine's time, about: fewer pictures a second are drawn to keep within it, and what is
  // late then is left out.
  absl::Duration max_drawing = absl::InfiniteDuration();
};

// Draws the moments `states` [moments, state_size] of one episode as an animated
// GIF of up to 25 pictures a second.
absl::Status RenderGif(const Task& task, absl::Span<const double> states,
                       const AnimationOptions& options, const std::string& path);

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_MUJOCO_RENDER_H_
