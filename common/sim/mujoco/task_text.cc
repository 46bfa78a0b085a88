#include "common/sim/mujoco/task_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/experience/limits.h"
#include "common/sim/mujoco/contacts.h"
#include "common/sim/mujoco/elements.h"

namespace backflip::sim {
namespace {

constexpr double kStepSeconds = 0.0125;  // 80 decisions a second
constexpr double kEpisodeSeconds = 5;
constexpr double kClipSeconds = 1.5;                  // as people see it
constexpr int kMaxFrameSkip = 1000, kMaxClip = 1000;  // of the task file
constexpr double kMostHeight = 1e4;                   // likewise
constexpr size_t kMostNamed = 5;
constexpr int kAzimuth = 90;
// Of the picture: what a camera that follows the root must reach, and how many times as much one
// that follows another body must.
constexpr double kLeastShare = 0.32;
constexpr double kWorthwhile = 1.1;

// The name as the text format writes it; empty: there is none, or none that it can hold.
std::string NameOf(const mjModel* m, mjtObj type, int id) {
  const char* name = mj_id2name(m, type, id);
  return name == nullptr || !IsUtf8(name) ? "" : absl::Utf8SafeCEscape(name);
}

// Whether the robot is all that is free to move: with others, where they are to each other counts.
bool IsAloneFree(const mjModel* m, const Robot& robot) {
  const int *begin = m->jnt_type, *end = begin + m->njnt;
  if (std::count(begin, end, mjJNT_FREE) != 1) return false;
  return m->jnt_bodyid[std::find(begin, end, mjJNT_FREE) - begin] == robot.root;
}

// How many leading positions say where in the plane the robot is.
int TravelledPositions(const mjModel* m, const Robot& robot) {
  if (m->njnt > 0 && m->jnt_type[0] == mjJNT_FREE) return IsAloneFree(m, robot) ? 2 : 0;
  int count = 0;
  while (count < m->njnt && m->jnt_type[count] == mjJNT_SLIDE && !m->jnt_limited[count] &&
         robot.bodies[m->jnt_bodyid[count]] && std::abs(m->jnt_axis[3 * count + 2]) < 0.5) {
    ++count;
  }
  const bool others_are_free = std::count(m->jnt_type, m->jnt_type + m->njnt, mjJNT_FREE) > 0;
  return others_are_free ? 0 : count;
}

// Whether the root can move up or down.
bool RisesAndFalls(const mjModel* m, int root) {
  for (int i = 0; i < m->body_jntnum[root]; ++i) {
    const int joint = m->body_jntadr[root] + i, type = m->jnt_type[joint];
    if (type == mjJNT_FREE) return true;
    if (type == mjJNT_SLIDE && std::abs(m->jnt_axis[3 * joint + 2]) > 0.1) return true;
  }
  return false;
}

// A camera that follows a body, from how far (metres); `sways`: up and down, too. And the least
// share of the picture that it shows the robot at.
struct Aim {
  int body;
  bool sways;
  double distance, least_share;
};

// The camera of a new task follows the robot's root, at `height` where that does not rise and fall
// (`sways`). What is fixed at one end, or folds up, may be small then: a body nearer to the middle
// lets the camera be closer.
Aim BestAim(const mjModel* m, const Robot& robot, const Trial& trial, int elevation, double height,
            bool sways) {
  Aim best = {robot.root, sways, 0, -1};
  for (int body = robot.root; body < m->nbody && best.least_share < kLeastShare; ++body) {
    if (!robot.bodies[body] || (body != robot.root && NameOf(m, mjOBJ_BODY, body).empty())) {
      continue;
    }
    for (const bool with_it : {false, true}) {
      if (sways && !with_it) continue;
      std::vector<RobotView> views = trial.views;
      for (size_t i = 0; i < views.size(); ++i) {
        views[i].target = trial.places[i][body];
        if (!with_it) views[i].target[2] = height;
      }
      const double distance = CameraDistance(views, kAzimuth, elevation);
      const double share = LeastShare(views, kAzimuth, elevation, distance);
      if (share > kWorthwhile * best.least_share) best = {body, with_it, distance, share};
    }
  }
  return best;
}

std::string CameraText(const mjModel* m, const Robot& robot, const Trial& trial) {
  // the boxes around the robot at first, and around all that it does
  std::array<Point, 2> low = {trial.views[0].target, trial.views[0].target}, high = low;
  for (const RobotView& view : trial.views) {
    for (const Point& corner : view.corners) {
      for (int i = 0; i < 3; ++i) {
        for (int box = &view == &trial.views[0] ? 0 : 1; box < 2; ++box) {
          low[box][i] = std::min(low[box][i], corner[i]);
          high[box][i] = std::max(high[box][i], corner[i]);
        }
      }
    }
  }
  // what lies flat is seen from above
  const double wide = std::max(high[0][0] - low[0][0], high[0][1] - low[0][1]);
  const int elevation = high[0][2] - low[0][2] < 0.2 * wide ? -45 : -15;
  const double middle = (low[1][2] + high[1][2]) / 2;
  const Aim aim = BestAim(m, robot, trial, elevation, middle,
                          RisesAndFalls(m, robot.root) || std::abs(middle) > kMostHeight);
  const std::string track = NameOf(m, mjOBJ_BODY, aim.body);
  return absl::StrFormat("camera { %sdistance: %.3g azimuth: %d elevation: %d%s }\n",
                         track.empty() ? "" : absl::StrCat("track: \"", track, "\" "), aim.distance,
                         kAzimuth, elevation,
                         aim.sways ? "" : absl::StrFormat(" height: %.3g", middle));
}

std::string ObservationText(const mjModel* m, const Robot& robot) {
  // from: must leave at least one position
  const int travelled = TravelledPositions(m, robot);
  const int from = travelled < m->nq ? travelled : 0;
  std::string text = absl::StrFormat("observation {\n  qpos { from: %d }%s\n", from,
                                     from > 0 ? "   # not where in the world it is" : "");
  for (int i = 0; i < m->njnt; ++i) {
    const std::string joint = NameOf(m, mjOBJ_JOINT, i);
    if (m->jnt_type[i] == mjJNT_HINGE && !m->jnt_limited[i] && !joint.empty()) {
      absl::StrAppend(&text, "  angle: \"", joint,
                      "\"   # has no limits: seen as sine and cosine\n");
    }
  }
  if (IsAloneFree(m, robot))
    absl::StrAppend(&text, "  body_axes: true   # not which way it heads\n");
  absl::StrAppend(&text, "  qvel { clip: 20 }\n");
  if (m->na > 0) absl::StrAppend(&text, "  act {}   # the actuators' own state\n");
  const std::vector<int> touching = TouchingBodies(m);
  if (std::any_of(touching.begin(), touching.end(), [](int body) { return body > 0; })) {
    absl::StrAppend(&text, "  contacts {}   # what touches the world, now and lately\n");
  }
  return text + "}\n";
}

// The most numbers that an observation of a new task may have, and an action with it.
int64_t NumbersOfStep(const mjModel* m) {
  return m->nq + m->nv + m->na + m->njnt + 3 * m->nbody + m->nu + 2;
}

// Of a model so large that a rollout of a run's default batch could not be sent: more environments,
// of fewer steps each; empty: the default ones will do.
std::string DefaultsText(const mjModel* m) {
  constexpr int kBatchSteps = 8192, kEnvironments = 16, kMostEnvironments = 4096;  // of run.proto
  int environments = kEnvironments;
  while (environments < kMostEnvironments &&
         kBatchSteps / environments * 4 * NumbersOfStep(m) > experience::kMaxPayloadBytes) {
    environments *= 2;
  }
  if (environments == kEnvironments) return "";
  return absl::StrFormat(
      "defaults { collection { environments: %d } }   # so that a rollout can be sent\n",
      environments);
}

// How many steps of a clip can be sent: its states, and the pictures of a pair.
int64_t MostClipSteps(const mjModel* m) {
  const int64_t picture = 7 * 4 * (m->nbody - 1);
  const int64_t whole =
      picture + 4 * NumbersOfStep(m) + 8 * int64_t{mj_stateSize(m, mjSTATE_FULLPHYSICS)};
  return experience::kMaxPayloadBytes / std::max(whole, 2 * picture) - 1;
}

std::string ClipText(const mjModel* m, const NewTaskTimes& times) {
  const int64_t most = std::min<int64_t>({kMaxClip, times.episode_steps, MostClipSteps(m)});
  const int steps = static_cast<int>(std::max<int64_t>(
      1, std::min<int64_t>(std::lround(kClipSeconds / times.step_seconds), most)));
  const double shown = steps * times.step_seconds;
  // steps that are too short, or too long, are shown at another speed
  const bool real_time = shown > 0.5 * kClipSeconds && shown < 2 * kClipSeconds;
  return absl::StrFormat("clip { steps: %d%s }     # shown for %.3g s\n", steps,
                         real_time ? ""
                                   : absl::StrFormat(" playback_fps: %.3g",
                                                     std::clamp(steps / kClipSeconds, 1.0, 1e3)),
                         real_time ? shown : kClipSeconds);
}

std::string QuantityText(const std::string& body) {
  std::string text;
  if (!body.empty()) {
    for (const auto& [name, field] :
         {std::pair("height", "Z"), {"x", "X"}, {"upright", "UPRIGHT"}}) {
      absl::StrAppendFormat(&text, "quantity { name: \"%s\" body { name: \"%s\" field: %s } }\n",
                            name, body, field);
    }
    absl::StrAppend(&text,
                    "quantity { name: \"power\" power {} }\n\n"
                    "metric { name: \"distance\" change: \"x\" }\n"
                    "metric { name: \"top_height\" max: \"height\" }\n"
                    "metric { name: \"work\" sum: \"abs(power)\" }\n\n");
  }
  return text;
}

// Whether what an actuator acts on turns, rather than moves.
bool Turns(const mjModel* m, int actuator) {
  int joint = m->actuator_trnid[2 * actuator];
  switch (m->actuator_trntype[actuator]) {
    case mjTRN_TENDON: {
      const int first = m->tendon_adr[joint];
      if (m->wrap_type[first] != mjWRAP_JOINT) return false;
      joint = m->wrap_objid[first];
      break;
    }
    case mjTRN_JOINT:
    case mjTRN_JOINTINPARENT:
      break;
    default:
      joint = -1;
  }
  if (joint >= 0 && m->jnt_type[joint] != mjJNT_FREE) return m->jnt_type[joint] != mjJNT_SLIDE;
  return mju_norm3(m->actuator_gear + 6 * m->actuator_outadr[actuator]) == 0;
}

// What a control of 1 asks for where it has no range: a force, or the place or the rate at which a
// servo settles. `k` counts the actuator's controls.
std::string MeaningOfOne(const mjModel* m, int actuator, int k) {
  const bool turns = Turns(m, actuator);
  const char *length = turns ? "rad" : "m", *force = turns ? "N·m" : "N";
  const mjtNum* gears = m->actuator_gear + 6 * m->actuator_outadr[actuator];
  const double gear = mju_norm3(gears) > 0 ? mju_norm3(gears) : mju_norm3(gears + 3);
  const char* rate = m->actuator_dyntype[actuator] == mjDYN_INTEGRATOR ? "/s" : "";
  const auto amount = [rate](double size, auto... unit) {
    return absl::StrCat(absl::StrFormat("±%.3g ", std::abs(size)), unit..., rate);
  };
  if (m->actuator_dyntype[actuator] == mjDYN_MUSCLE) return "0 to 1, below which it is 0";
  switch (m->actuator_gaintype[actuator]) {
    case mjGAIN_FIXED: {
      const double gain = m->actuator_gainprm[mjNGAIN * actuator];
      const mjtNum* bias = m->actuator_biasprm + mjNBIAS * actuator;
      const bool affine = m->actuator_biastype[actuator] == mjBIAS_AFFINE;
      if (affine && bias[1] != 0) return amount(gain / bias[1] / gear, length);
      if (affine && bias[2] == -gain) return amount(1 / gear, length, "/s");
      return amount(gain * gear, force);
    }
    case mjGAIN_PID:
    case mjGAIN_DCMOTOR: {
      int inputs = m->actuator_ctrlspec[actuator];
      for (; k > 0; --k) inputs &= inputs - 1;
      switch (inputs & -inputs) {
        case mjINPUT_POS:
          return amount(1 / gear, length);
        case mjINPUT_VEL:
          return amount(1 / gear, length, "/s");
        case mjINPUT_FF:
          return amount(gear, force);
        case mjINPUT_VOLTAGE:
          return amount(1, "V");
      }
      return "±1";
    }
    case mjGAIN_SO3:
      return m->actuator_ctrlspec[actuator] == mjCHART_EXPMAP ? "±1 rad" : "±1";
    default:
      return "±1";
  }
}

// Controls without a range, and what an action means to them; empty: all have one.
std::string UnlimitedControls(const mjModel* m) {
  std::string named;
  size_t count = 0;
  for (int i = 0; i < m->nactuator; ++i) {
    for (int k = 0; k < m->actuator_ctrlnum[i]; ++k) {
      if (HasControlRange(m, m->actuator_ctrladr[i] + k)) continue;
      if (++count > kMostNamed) continue;
      const char* name = mj_id2name(m, mjOBJ_ACTUATOR, i);
      absl::StrAppend(&named, named.empty() ? "" : ", ",
                      name == nullptr || *name == 0 ? absl::StrCat("actuator ", i) : name, " ",
                      k == 0 ? "" : absl::StrCat("(control ", k, ") "), MeaningOfOne(m, i, k));
    }
  }
  if (count == 0) return "";
  return absl::StrCat(
      count, " of ", m->nu,
      " controls have no range, so that actions from -1 to 1 are the control itself: ", named,
      count > kMostNamed ? ", …" : "",
      ". Give them a ctrlrange in the model if that is too little or too much");
}

// What is odd about the floor under a robot that may fall; empty: nothing.
std::string FloorRemark(const mjModel* m, const Robot& robot) {
  if (m->body_jntnum[robot.root] == 0 || m->jnt_type[m->body_jntadr[robot.root]] != mjJNT_FREE) {
    return "";
  }
  const std::vector<int> touching = TouchingBodies(m);
  if (std::count(touching.begin(), touching.end(), m->body_weldid[robot.root]) > 0) return "";
  if (std::any_of(touching.begin(), touching.end(),
                  [&](int body) { return body > 0 && robot.bodies[body]; })) {
    return "the robot's trunk does not touch the floor: where it falls it sinks in, and people see "
           "less of it";
  }
  const int* bodies = m->geom_bodyid;
  if (std::none_of(bodies, bodies + m->ngeom,
                   [m](int body) { return m->body_weldid[body] == 0; })) {
    return "there is no floor under the robot: nothing in the world that it could stand on";
  }
  return "nothing of the robot touches the floor: their contype and conaffinity have no bit in "
         "common";
}

// Actuators that do nothing whatever they are told; empty: there are none.
std::string IdleActuators(const mjModel* m) {
  std::string named;
  size_t count = 0;
  for (int i = 0; i < m->nactuator; ++i) {
    const int group = m->actuator_group[i];
    const char* why = (m->opt.disableflags & mjDSBL_ACTUATION) != 0 ? "<flag actuation=\"disable\">"
                      : group >= 0 && group < 31 && (m->opt.disableactuator >> group & 1) != 0
                          ? "actuatorgroupdisable"
                      : m->actuator_dyntype[i] == mjDYN_USER   ? "dyntype=\"user\""
                      : m->actuator_gaintype[i] == mjGAIN_USER ? "gaintype=\"user\""
                                                               : nullptr;
    if (why == nullptr || ++count > kMostNamed) continue;
    const std::string name = NameOf(m, mjOBJ_ACTUATOR, i);
    absl::StrAppend(&named, named.empty() ? "" : ", ",
                    name.empty() ? absl::StrCat("actuator ", i) : name, " (", why, ")");
  }
  if (count == 0) return "";
  return absl::StrCat(count, " of ", m->nactuator, " actuators do nothing: ", named,
                      count > kMostNamed ? ", …" : "");
}

}  // namespace

NewTaskTimes::NewTaskTimes(const mjModel* model)
    : frame_skip(static_cast<int>(
          std::clamp(std::round(kStepSeconds / model->opt.timestep), 1.0, 1.0 * kMaxFrameSkip))),
      step_seconds(frame_skip * model->opt.timestep),
      episode_steps(static_cast<int>(std::clamp(kEpisodeSeconds / step_seconds, 1.0, 1e5))),
      evaluation_steps(static_cast<int>(std::clamp<int64_t>(
          experience::kMaxPayloadBytes / (4 * NumbersOfStep(model)), 1, 2 * episode_steps))) {}

bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) -> int {
      return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0;
    };
    const int first = byte(0);
    const int more = first < 0x80   ? 0
                     : first < 0xc2 ? -1
                     : first < 0xe0 ? 1
                     : first < 0xf0 ? 2
                     : first < 0xf5 ? 3
                                    : -1;
    if (more < 0) return false;
    for (int k = 1; k <= more; ++k) {
      if ((byte(k) & 0xc0) != 0x80) return false;
    }
    // what a shorter form could say, halves of pairs, and what is beyond Unicode
    if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
        (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f)) {
      return false;
    }
    i += 1 + more;
  }
  return true;
}

std::string NewTaskText(const mjModel* m, const std::string& name, const std::string& model_file,
                        const Robot& robot, const Trial& trial) {
  const NewTaskTimes times(m);
  const std::string key = m->nkey > 0 ? NameOf(m, mjOBJ_KEY, 0) : "";
  return absl::StrCat(
      absl::StrFormat("# Written by `backflip task new`; docs/tasks.md explains every field.\n"
                      "name: \"%s\"\n"
                      "model: \"%s\"\n"
                      "frame_skip: %d          # %.4g s a step\n"
                      "episode_steps: %d     # %.3g s; nothing else ends an episode\n"
                      "evaluation_steps: %d\n"
                      "action_size: %d\n\n",
                      name, absl::Utf8SafeCEscape(model_file), times.frame_skip, times.step_seconds,
                      times.episode_steps, times.episode_steps * times.step_seconds,
                      times.evaluation_steps, m->nu),
      ObservationText(m, robot), "reset { ",
      key.empty() ? "" : absl::StrCat("keyframe: \"", key, "\" "),
      "qpos_noise: 0.005 qvel_noise: 0.005 }\n", ClipText(m, times), DefaultsText(m),
      CameraText(m, robot, trial),
      "\n# What labelers are asked: say what you want to see.\n"
      "question: \"Which clip comes closer to what you want?\"\n"
      "instructions: \"Prefer the clip that comes closer to the goal. If you see "
      "no difference, say so.\"\n\n",
      QuantityText(NameOf(m, mjOBJ_BODY, robot.root)),
      "# A true reward lets simulated teachers answer, and charts compare; people\n"
      "# need none. For example:\n"
      "# true_reward: \"height + upright - 0.001 * abs(power)\"\n");
}

std::vector<std::string> RemarksOn(const mjModel* m, const Robot& robot, const Trial& trial) {
  std::vector<std::string> remarks;
  if (std::string unlimited = UnlimitedControls(m); !unlimited.empty()) {
    remarks.push_back(std::move(unlimited));
  }
  if (std::string idle = IdleActuators(m); !idle.empty()) remarks.push_back(std::move(idle));
  if (m->na > 0) {
    remarks.emplace_back(absl::StrCat("actuators have ", m->na,
                                      " activations of their own, which are observed too"));
  }
  if (std::string floor = FloorRemark(m, robot); !floor.empty()) {
    remarks.push_back(std::move(floor));
  }
  if (!IsVisible(m, robot)) {
    remarks.emplace_back(
        "nothing of the robot can be seen: give its bodies geoms that are not transparent");
  } else if (VisibleGroups(m).Show(mjNGROUP)) {
    remarks.emplace_back("nothing of the robot is in groups 0 to 2, so that all groups are shown");
  }
  if (trial.dropped_contacts) {
    remarks.emplace_back(
        "MuJoCo had no room for all contacts and left some out: give the model more "
        "with <size memory=\"…\"/>");
  }
  if (trial.diverged > 0) {
    remarks.emplace_back(absl::StrFormat(
        "the physics diverged at step %d (%.3g s) of random actions over the whole range of each "
        "control. What may help: a smaller timestep, a ctrlrange for actuators without one or "
        "narrower ones, more joint damping or armature",
        trial.diverged, trial.diverged * NewTaskTimes(m).step_seconds));
  }
  return remarks;
}

}  // namespace backflip::sim
