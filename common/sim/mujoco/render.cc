#include "common/sim/mujoco/render.h"

#include <EGL/egl.h>
#include <EGL/eglext.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::sim {
namespace {

constexpr int kGifDelay = 4;  // hundredths of a second: 25 pictures a second
constexpr int kSamples = 4;   // per pixel, against stairs at edges
constexpr int kMaxGeoms = 10000;

absl::Status NoOpenGl(absl::string_view step) {
  return absl::UnavailableError(absl::StrCat("no off-screen OpenGL (", step, ", EGL error ",
                                             eglGetError(),
                                             "): install libegl1 and libgl1-mesa-dri"));
}

}  // namespace

struct Renderer::Context {
  EGLDisplay display = EGL_NO_DISPLAY;
  EGLContext context = EGL_NO_CONTEXT;
  DataPtr data;
  bool made = false;  // scene and mujoco
  mjvScene scene;
  mjrContext mujoco;
  mjvOption option;
  mjvCamera camera;
  int width = 0, height = 0;

  absl::Status Open();

  ~Context() {
    if (made) {
      mjr_freeContext(&mujoco);
      mjv_freeScene(&scene);
    }
    // the display is shared by the process and stays initialised
    if (context != EGL_NO_CONTEXT) {
      eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
      eglDestroyContext(display, context);
    }
  }
};

absl::Status Renderer::Context::Open() {
  display = eglGetPlatformDisplay(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, nullptr);
  if (display == EGL_NO_DISPLAY) display = eglGetDisplay(EGL_DEFAULT_DISPLAY);
  EGLint major = 0, minor = 0;
  if (display == EGL_NO_DISPLAY || !eglInitialize(display, &major, &minor)) {
    return NoOpenGl("display");
  }
  const EGLint wanted[] = {EGL_SURFACE_TYPE,
                           EGL_PBUFFER_BIT,
                           EGL_RENDERABLE_TYPE,
                           EGL_OPENGL_BIT,
                           EGL_RED_SIZE,
                           8,
                           EGL_GREEN_SIZE,
                           8,
                           EGL_BLUE_SIZE,
                           8,
                           EGL_DEPTH_SIZE,
                           24,
                           EGL_NONE};
  EGLConfig config;
  EGLint count = 0;
  if (!eglChooseConfig(display, wanted, &config, 1, &count) || count == 0) {
    return NoOpenGl("configuration");
  }
  if (!eglBindAPI(EGL_OPENGL_API)) return NoOpenGl("OpenGL");
  context = eglCreateContext(display, config, EGL_NO_CONTEXT, nullptr);
  if (context == EGL_NO_CONTEXT) return NoOpenGl("context");
  if (!eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context)) {
    return NoOpenGl("no surface");
  }
  return absl::OkStatus();
}

Renderer::Renderer(const MujocoTask& task, std::unique_ptr<Context> context)
    : task_(task), context_(std::move(context)) {}
Renderer::~Renderer() = default;

absl::StatusOr<std::unique_ptr<Renderer>> Renderer::Create(const Task& task, int width,
                                                           int height) {
  ASSIGN_OR_RETURN(const MujocoTask* const mujoco, MujocoTask::Of(task));
  if (width < 16 || width > 2048 || height < 16 || height > 2048) {
    return absl::InvalidArgumentError(
        absl::StrCat("pictures of ", width, " x ", height, "; must be 16 to 2048"));
  }
  auto context = std::make_unique<Context>();
  RETURN_IF_ERROR(context->Open());
  context->width = width;
  context->height = height;
  context->data.reset(mj_makeData(mujoco->model()));

  // the model says how large pictures may be, and is shared: change a copy
  const ModelPtr model(mj_copyModel(nullptr, mujoco->model()));
  model->vis.global.offwidth = width;
  model->vis.global.offheight = height;
  model->vis.quality.offsamples = kSamples;
  mjv_defaultScene(&context->scene);
  mjv_makeScene(model.get(), &context->scene, kMaxGeoms);
  mjr_defaultContext(&context->mujoco);
  mjr_makeContext(model.get(), &context->mujoco, mjFONTSCALE_100);
  context->made = true;
  mjr_setBuffer(mjFB_OFFSCREEN, &context->mujoco);
  mjv_defaultOption(&context->option);
  mjv_defaultCamera(&context->camera);
  return std::unique_ptr<Renderer>(new Renderer(*mujoco, std::move(context)));
}

Image Renderer::Draw(const double* state, bool cut) {
  const mjModel* model = task_.model();
  Context& c = *context_;
  mj_setState(model, c.data.get(), state, mjSTATE_FULLPHYSICS);
  mj_forward(model, c.data.get());
  // the camera follows
  const v1::Camera& wanted = task_.task().camera();
  const mjtNum* body = &c.data->xpos[3 * task_.tracked_body()];
  const mjtNum target[3] = {body[0], body[1], wanted.has_height() ? wanted.height() : body[2]};
  constexpr double kFollow = 0.25;  // of the distance, per picture
  for (int i = 0; i < 3; ++i) {
    c.camera.lookat[i] =
        cut ? target[i] : c.camera.lookat[i] + kFollow * (target[i] - c.camera.lookat[i]);
  }
  c.camera.type = mjCAMERA_FREE;
  c.camera.distance = wanted.distance();
  c.camera.azimuth = wanted.azimuth();
  c.camera.elevation = wanted.elevation();
  mjv_updateScene(model, c.data.get(), &c.option, nullptr, &c.camera, mjCAT_ALL, &c.scene);
  const mjrRect viewport = {0, 0, c.width, c.height};
  mjr_render(viewport, &c.scene, &c.mujoco);
  Image image;
  image.width = c.width;
  image.height = c.height;
  image.rgb.resize(static_cast<size_t>(c.width) * c.height * 3);
  mjr_readPixels(image.rgb.data(), nullptr, viewport, &c.mujoco);
  // OpenGL's first row is the bottom one
  const size_t row = static_cast<size_t>(c.width) * 3;
  for (int y = 0; y < c.height / 2; ++y) {
    std::swap_ranges(image.rgb.begin() + y * row, image.rgb.begin() + (y + 1) * row,
                     image.rgb.begin() + (c.height - 1 - y) * row);
  }
  return image;
}

absl::Status RenderGif(const Task& task, absl::Span<const double> states,
                       const AnimationOptions& options, const std::string& path) {
  const size_t size = task.state_size();
  if (states.empty() || states.size() % size != 0) {
    return absl::InvalidArgumentError(absl::StrCat(states.size(), " numbers are no states of task ",
                                                   task.name(), ", which have ", size, " each"));
  }
  const double speed = options.moments_per_second > 0 ? options.moments_per_second
                                                      : task.task().clip().playback_fps();
  const size_t moments = states.size() / size;
  ASSIGN_OR_RETURN(const auto renderer, Renderer::Create(task, options.width, options.height));
  std::vector<Image> frames;
  const double seconds = kGifDelay / 100.0;
  for (int i = 0; i * seconds <= options.max_seconds; ++i) {
    const auto moment = static_cast<size_t>(std::llround(i * seconds * speed));
    if (moment >= moments) break;
    frames.push_back(renderer->Draw(&states[moment * size], i == 0));
  }
  return WriteGif(path, frames, kGifDelay);
}

}  // namespace backflip::sim
