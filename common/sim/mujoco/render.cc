#include "common/sim/mujoco/render.h"

#include <EGL/egl.h>
#include <EGL/eglext.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/sim/mujoco/robot.h"

namespace backflip::sim {
namespace {

constexpr int kGifDelay = 4;        // hundredths of a second: 25 pictures a second
constexpr double kMostSkipped = 5;  // of five pictures at least one is drawn
constexpr int kMoreGeoms = 1000;    // than the model's own: lights, contacts and the like

absl::Status NoOpenGl(absl::string_view step) {
  return absl::UnavailableError(absl::StrCat("no off-screen OpenGL (", step, ", EGL error ",
                                             eglGetError(),
                                             "): install libegl1 and libgl1-mesa-dri"));
}

// The model as a task's pictures show it, whatever it says of how it is to be seen: through the
// pages' camera (web/viewer/scene.ts), and with light.
ModelPtr AsSeen(const MujocoTask& task) {
  ModelPtr model(mj_copyModel(nullptr, task.model()));
  const double distance = task.task().camera().distance();
  mjVisual& look = model->vis;
  look.global.fovy = 45;
  look.global.orthographic = 0;
  // an infinite floor is drawn as far from the origin as one sees, and the robot may be there
  const double far = 50 * std::max(distance, model->stat.extent);
  // shadows and fog go by the extent
  model->stat.extent = std::clamp(model->stat.extent, 0.2 * distance, 20 * distance);
  look.map.znear = static_cast<float>(distance / 80 / model->stat.extent);
  look.map.zfar = static_cast<float>(far / model->stat.extent);
  const bool lit = std::any_of(model->light_active, model->light_active + model->nlight,
                               [](mjtBool active) { return active != 0; });
  const float* colour = look.headlight.diffuse;
  if (!lit && (look.headlight.active == 0 || colour[0] + colour[1] + colour[2] < 0.3F)) {
    look.headlight.active = 1;
    std::fill_n(look.headlight.ambient, 3, 0.1F);
    std::fill_n(look.headlight.diffuse, 3, 0.4F);
  }
  return model;
}

}  // namespace

struct Renderer::Context {
  EGLDisplay display = EGL_NO_DISPLAY;
  EGLContext context = EGL_NO_CONTEXT;
  ModelPtr model;
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

absl::StatusOr<std::unique_ptr<Renderer>> Renderer::Create(const Task& task, int width, int height,
                                                           int samples) {
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
  if (mujoco->keyframe() >= 0) {
    mj_resetDataKeyframe(mujoco->model(), context->data.get(), mujoco->keyframe());
  }

  // the model says how large pictures may be, too
  context->model = AsSeen(*mujoco);
  mjModel* const model = context->model.get();
  model->vis.global.offwidth = width;
  model->vis.global.offheight = height;
  model->vis.quality.offsamples = samples;
  // drawn by a program, large shadow maps and mirrors cost more than all the rest
  model->vis.quality.shadowsize = std::min(model->vis.quality.shadowsize, 2 * width);
  mjv_defaultScene(&context->scene);
  mjv_makeScene(model, &context->scene,
                static_cast<int>(model->ngeom + model->nsite + model->nwrap + model->nflex +
                                 model->nskin + kMoreGeoms));
  mjr_defaultContext(&context->mujoco);
  mjr_makeContext(model, &context->mujoco, mjFONTSCALE_100);
  context->made = true;
  context->scene.flags[mjRND_REFLECTION] = 0;
  mjr_setBuffer(mjFB_OFFSCREEN, &context->mujoco);
  mjv_defaultOption(&context->option);
  const VisibleGroups groups(mujoco->model());
  for (int group = 0; group < mjNGROUP; ++group) {
    for (mjtByte* shown :
         {context->option.geomgroup, context->option.sitegroup, context->option.tendongroup,
          context->option.flexgroup, context->option.skingroup}) {
      shown[group] = groups.Show(group);
    }
  }
  mjv_defaultCamera(&context->camera);
  return std::unique_ptr<Renderer>(new Renderer(*mujoco, std::move(context)));
}

Image Renderer::Draw(const double* state, bool cut) {
  context_->scene.flags[mjRND_SEGMENT] = context_->scene.flags[mjRND_IDCOLOR] = 0;
  return Render(state, cut);
}

std::vector<int> Renderer::BodiesSeen(const double* state, bool cut) {
  const mjModel* model = task_.model();
  mjvScene& scene = context_->scene;
  scene.flags[mjRND_SEGMENT] = scene.flags[mjRND_IDCOLOR] = 1;
  const Image image = Render(state, cut);
  std::map<int, int> seen = {{-1, kNothing}};  // by what MuJoCo paints it with
  for (int i = 0; i < scene.ngeom; ++i) {
    const mjvGeom& geom = scene.geoms[i];
    seen[geom.segid] = geom.category == mjCAT_DECOR && geom.objtype != mjOBJ_TENDON ? kNothing
                       : geom.type == mjGEOM_PLANE                                  ? kPlane
                       : geom.objtype == mjOBJ_GEOM ? model->geom_bodyid[geom.objid]
                       : geom.objtype == mjOBJ_SITE ? model->site_bodyid[geom.objid]
                                                    : 0;
  }
  std::vector<int> bodies;
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    const uint8_t* rgb = &image.rgb[i];
    bodies.push_back(seen[(rgb[0] | rgb[1] << 8 | rgb[2] << 16) - 1]);
  }
  return bodies;
}

Image Renderer::Render(const double* state, bool cut) {
  Context& c = *context_;
  const mjModel* model = c.model.get();
  mj_setState(model, c.data.get(), state, mjSTATE_FULLPHYSICS);
  // all that is drawn, and nothing that needs MuJoCo's arena: that may be full
  mj_kinematics(model, c.data.get());
  mj_comPos(model, c.data.get());
  mj_camlight(model, c.data.get());
  mj_flex(model, c.data.get());
  mj_tendon(model, c.data.get());
  // the camera follows
  const v1::Camera& wanted = task_.task().camera();
  const mjtNum* body = &c.data->xpos[3 * task_.tracked_body()];
  const mjtNum target[3] = {body[0], body[1], wanted.has_height() ? wanted.height() : body[2]};
  // what is fast is not left behind
  constexpr double kFollow = 0.25;     // of the way, per picture
  constexpr double kMostBehind = 0.2;  // of the distance
  double away[3];
  for (int i = 0; i < 3; ++i) away[i] = cut ? 0 : (1 - kFollow) * (c.camera.lookat[i] - target[i]);
  const double behind = mju_norm3(away), most = kMostBehind * wanted.distance();
  const double kept = behind > most ? most / behind : 1;
  for (int i = 0; i < 3; ++i) c.camera.lookat[i] = target[i] + kept * away[i];
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
  renderer->Draw(states.data(), true);  // the first picture takes longer than others
  const absl::Time begin = absl::Now();
  std::vector<Image> frames;
  const double shown = std::min(options.max_seconds, static_cast<double>(moments) / speed);
  int delay = kGifDelay;
  for (double at = 0; at <= options.max_seconds; at += delay / 100.0) {
    const auto moment = static_cast<size_t>(std::llround(at * speed));
    const absl::Duration taken = absl::Now() - begin;
    if (moment >= moments || (at > 0 && taken > options.max_drawing)) break;
    frames.push_back(renderer->Draw(&states[moment * size], at == 0));
    if (at > 0) continue;
    const double all = shown * 100 / kGifDelay * absl::ToDoubleSeconds(absl::Now() - begin);
    const double share = all / absl::ToDoubleSeconds(options.max_drawing);
    delay *= static_cast<int>(std::clamp(std::ceil(share), 1.0, kMostSkipped));
  }
  return WriteGif(path, frames, delay);
}

}  // namespace backflip::sim
