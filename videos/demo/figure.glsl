// The figure as a signed distance field: where the surface is, and what it is made of.
// Head space: x to the right of the picture, y up, z towards the camera; the skull is about 1 wide
// from the middle. The head turns about the top of the neck; torso and hands are in world space.

uniform mat3 uHeadTurn;      // head space -> world
uniform vec3 uHeadShift;     // world position of the turning point
uniform vec3 uTorsoShift;    // how far the chest and collar have moved
uniform float uBreath;       // 0..1, chest expansion
uniform vec2 uShoulder;      // lift of the picture's left and right shoulder
uniform float uBlink;        // 0 open .. 1 closed
uniform float uSquint;       // lower lids, 0..1
uniform vec2 uGaze;          // radians right, up
uniform vec4 uBrow;          // lift left, lift right, inner lift, pinch
uniform float uJaw;          // how far the jaw has dropped
uniform vec4 uMouth;         // half width, upper lip lift, lower lip drop, pucker
uniform vec2 uSmile;         // lift of the left and right mouth corner
uniform float uTongue;       // 0 resting .. 1 at the teeth
uniform int uBones;          // number of finger and arm segments
uniform vec4 uBoneA[44];     // one end and its radius
uniform vec4 uBoneB[44];     // other end and its radius
uniform vec4 uBallA;         // a ball round each hand with its arm
uniform vec4 uBallB;
uniform int uSteps;          // march limit; a uniform so that no driver unrolls the loop

const int BONES_PER_HAND = 22;
const vec3 PIVOT = vec3(0.0, -0.95, -0.20);
const vec3 EYE = vec3(0.385, 0.0, 0.575);
const float EYE_R = 0.315;
const float LID_HALF = 0.265;   // half the width of the opening between the lids
const float MOUTH_Y = -0.655;
const vec3 CROWN = vec3(0.34, 1.22, 0.34);   // where the hair parts and its strands start

const int SKIN = 1, EYEBALL = 2, LASH = 3, HAIR = 4, CLOTH = 5, TEETH = 6, TONGUE = 7, PALM = 8,
          COLLAR = 9;

float hash1(float n) { return fract(sin(n * 91.3458) * 47453.5453); }
float hash3(vec3 p) {
    p = fract(p * 0.3183099 + vec3(0.11, 0.17, 0.13));
    p *= 17.0;
    return fract(p.x * p.y * p.z * (p.x + p.y + p.z));
}
float noise1(float x) {
    float i = floor(x), f = fract(x);
    return mix(hash1(i), hash1(i + 1.0), f * f * (3.0 - 2.0 * f));
}
float noise3(vec3 x) {
    vec3 i = floor(x), f = fract(x);
    f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash3(i), hash3(i + vec3(1, 0, 0)), f.x),
                   mix(hash3(i + vec3(0, 1, 0)), hash3(i + vec3(1, 1, 0)), f.x), f.y),
               mix(mix(hash3(i + vec3(0, 0, 1)), hash3(i + vec3(1, 0, 1)), f.x),
                   mix(hash3(i + vec3(0, 1, 1)), hash3(i + vec3(1, 1, 1)), f.x), f.y), f.z);
}

float smin(float a, float b, float k) {
    float h = max(k - abs(a - b), 0.0) / k;
    return min(a, b) - h * h * k * 0.25;
}
// The same with no step in curvature, where light would show it as a line.
float smooth3(float a, float b, float k) {
    float h = max(k - abs(a - b), 0.0) / k;
    return min(a, b) - h * h * h * k / 6.0;
}
float smax(float a, float b, float k) { return -smin(-a, -b, k); }
float ellipsoid(vec3 p, vec3 r) {
    float k0 = length(p / r), k1 = length(p / (r * r));
    return k0 * (k0 - 1.0) / max(k1, 1e-4);
}
float cone(vec3 p, vec3 a, vec3 b, float ra, float rb) {
    vec3 pa = p - a, ba = b - a;
    float h = clamp(dot(pa, ba) / dot(ba, ba), 0.0, 1.0);
    return length(pa - ba * h) - mix(ra, rb, h);
}

vec3 toHead(vec3 p) { return (p - uHeadShift) * uHeadTurn + PIVOT; }

// Eye-local point with the outer corner lifted a little; x points to the outer corner.
vec3 toEye(vec3 p) {
    vec3 e = vec3(abs(p.x), p.yz) - EYE;
    e.xy = mat2(0.9945, -0.1045, 0.1045, 0.9945) * e.xy;
    return e;
}
// Heights of the lid edges at eye-local x: (upper, lower).
vec2 lids(float x) {
    float t = x / LID_HALF;
    float s = max(1.0 - t * t, -0.6);
    float round_ = s * (1.25 - 0.25 * s);
    float up = 0.156 * round_ * (1.0 - 0.10 * t);
    float low = -(0.122 - 0.055 * uSquint) * s * (1.0 + 0.22 * t);
    float shut = -0.100 * s * (1.0 + 0.1 * t);
    up = mix(up, shut - 0.01, uBlink);
    low = mix(low, shut, uBlink * 0.75);
    return vec2(up, low);
}
float browLine(vec3 p, float side) {
    float x = abs(p.x), t = (x - 0.13) / 0.58;
    float lift = side > 0.0 ? uBrow.y : uBrow.x;
    float arch = 0.388 + 0.085 * sin(clamp(t, 0.0, 1.25) * 2.35) - 0.055 * t * t;
    return arch + lift * (0.65 + 0.5 * t) + uBrow.z * (1.0 - t) - uBrow.w * (1.0 - t) * 0.5;
}
// Mouth: heights of the lips' meeting edges at x, and how far x is along to the corner.
vec3 lips(float x) {
    float t = x / uMouth.x;
    float s = max(1.0 - t * t, -0.4);
    float corner = mix(uSmile.x, uSmile.y, smoothstep(-0.6, 0.6, t));
    float mid = MOUTH_Y + corner * t * t - 0.010 * s;
    float bow = 0.010 * exp(-30.0 * t * t);
    return vec3(mid + uMouth.y * s - bow, mid - uMouth.z * s * (1.15 - 0.15 * s) - bow, t);
}

// Angle round the parting: constant along a strand.
float strand(vec3 p) {
    const vec3 MIDDLE = vec3(0.0, 0.1, -0.1);
    vec3 axis = normalize(CROWN - MIDDLE);
    vec3 u = normalize(cross(axis, vec3(0.0, 0.2, 1.0))), v = cross(axis, u);
    return atan(dot(p - MIDDLE, u), dot(p - MIDDLE, v));
}

float hair(vec3 p, float angle) {
    float cap = ellipsoid(p - vec3(0.0, 0.30, -0.16), vec3(1.13, 1.15, 1.14));
    // The bob: a tube round the head that turns in at its hem.
    float turn = smoothstep(-0.45, -1.15, p.y);
    vec2 r = vec2(1.13 + 0.05 * smoothstep(0.2, -0.5, p.y) - 0.20 * turn, 1.02 - 0.10 * turn);
    vec2 q = vec2(p.x, p.z + 0.22);
    float tube = (length(q / r) - 1.0) * 0.95;
    float hem = -1.10 + 0.06 * sin(p.x * 3.0 + 1.0) + 0.10 * smoothstep(0.0, 0.8, p.z)
                + 0.20 * (noise1(angle * 8.0 + 3.0) - 0.5) * smoothstep(-0.1, 0.4, p.z);
    tube = smax(tube, hem - p.y, 0.22);
    tube = smax(tube, p.y - 0.35, 0.3);
    float d = smin(cap, tube, 0.25);
    // Face opening, and the hollow under the hem.
    vec2 f = p.xy - vec2(0.02, -0.50);
    f.y -= 0.16 * f.x;
    float opening = (length(f / vec2(0.765, 1.40)) - 1.0) * 0.8;
    opening = max(opening, -0.10 - p.z);
    d = smax(d, -opening, 0.10);
    float hollow = ellipsoid(p - vec3(0.0, -1.2, 0.05), vec3(0.72, 0.55, 0.75));
    d = smax(d, -hollow, 0.12);
    // Locks: a long sweep over the forehead, a short one on the other side of the parting.
    float k = 0.10;
    float lock = cone(p, vec3(0.36, 1.07, 0.58), vec3(-0.18, 0.92, 0.83), 0.10, 0.17);
    lock = smin(lock, cone(p, vec3(-0.18, 0.92, 0.83), vec3(-0.64, 0.60, 0.72), 0.17, 0.19), k);
    lock = smin(lock, cone(p, vec3(-0.64, 0.60, 0.72), vec3(-0.90, 0.10, 0.50), 0.19, 0.15), k);
    lock = smin(lock, cone(p, vec3(-0.90, 0.10, 0.50), vec3(-0.93, -0.45, 0.42), 0.15, 0.13), k);
    lock = smin(lock, cone(p, vec3(-0.93, -0.45, 0.42), vec3(-0.80, -0.98, 0.40), 0.13, 0.03), k);
    float other = cone(p, vec3(0.38, 1.08, 0.56), vec3(0.70, 0.68, 0.66), 0.09, 0.15);
    other = smin(other, cone(p, vec3(0.70, 0.68, 0.66), vec3(0.92, 0.12, 0.48), 0.15, 0.14), k);
    other = smin(other, cone(p, vec3(0.92, 0.12, 0.48), vec3(0.95, -0.45, 0.40), 0.14, 0.12), k);
    other = smin(other, cone(p, vec3(0.95, -0.45, 0.40), vec3(0.82, -0.96, 0.40), 0.12, 0.03), k);
    d = smin(d, min(lock, other), 0.09);
    return d;
}

// Distance to the nearest surface in head space; what it is goes to `what`.
float head(vec3 p, out int what) {
    float ax = sqrt(p.x * p.x + 1e-4);
    vec3 m = vec3(ax, p.yz);
    // The jaw stretches the lower face.
    vec3 j = m;
    j.y += uJaw * smoothstep(-0.50, -0.95, p.y) * smoothstep(-0.5, 0.2, p.z);
    float skin = ellipsoid(m - vec3(0.0, 0.25, -0.12), vec3(0.925, 1.00, 1.03));
    skin = smin(skin, ellipsoid(j - vec3(0.0, -0.38, 0.10), vec3(0.700, 0.80, 0.79)), 0.30);
    skin = smin(skin, ellipsoid(j - vec3(0.0, -1.03, 0.56), vec3(0.20, 0.17, 0.20)), 0.28);
    float lift = 0.5 * (uSmile.x + uSmile.y);
    skin = smin(skin, length(m - vec3(0.42, -0.28 + 0.35 * lift, 0.525)) - 0.325, 0.25);
    skin = smin(skin, ellipsoid(m - vec3(0.30, 0.40, 0.68), vec3(0.27, 0.11, 0.15)), 0.22);
    vec3 e = toEye(p);
    skin = smax(skin, 0.24 - length(e - vec3(-0.02, 0.035, 0.42)), 0.22);
    // Muzzle, a soft cushion under the lips.
    float muzzle = ellipsoid(j - vec3(0.0, -0.66, 0.60), vec3(0.36, 0.26, 0.30 + 0.05 * uMouth.w));
    skin = smin(skin, muzzle, 0.18);
    // Nose.
    skin = smin(skin, cone(m, vec3(0.0, 0.10, 0.80), vec3(0.0, -0.24, 0.99), 0.055, 0.070), 0.15);
    float nose = length(m - vec3(0.0, -0.265, 1.022)) - 0.100;
    nose = smin(nose, length(m - vec3(0.098, -0.310, 0.925)) - 0.066, 0.09);
    nose = smax(nose, 0.042 - length((m - vec3(0.052, -0.376, 0.985)) * vec3(0.8, 1.2, 0.7)), 0.04);
    skin = smin(skin, nose, 0.09);
    // Lids over the eyeball, then the opening between them.
    float ball = length(e) - EYE_R;
    float lid = length(e) - EYE_R - 0.028;
    float under = smoothstep(0.02, -0.12, e.y);
    float past = max(abs(e.y) - 0.15, 0.0);
    skin = smooth3(skin, lid + 2.5 * past * past, 0.10 + 0.16 * under);
    vec2 edge = lids(e.x);
    float gap = max(max(e.y - edge.x, edge.y - e.y), 0.05 - e.z) * 0.8;
    gap = max(gap, abs(e.x) - LID_HALF);
    skin = smax(skin, -gap, 0.022);
    // Lips hug the face; the opening between them leads into the mouth.
    vec3 mouth = lips(p.x);
    float body = max(1.0 - mouth.z * mouth.z, 0.0);
    float taper = sqrt(body) * (0.55 + 0.45 * body);
    float pout = uMouth.w * 0.035;
    float face = skin;
    float peak = abs(mouth.z) - 0.3;
    float upR = (0.046 + 0.010 * exp(-12.0 * peak * peak) + pout) * taper;
    float lowR = (0.066 + pout) * taper;
    float front = step(0.2, p.z);
    float upper = length(vec2(p.y - mouth.x - upR * 0.85, face + 0.004)) - upR;
    float lower = length(vec2(p.y - mouth.y + lowR * 0.85, face + 0.004)) - lowR;
    float lip = min(upper, lower) * 0.8 + (1.0 - front) + 0.6 * max(abs(mouth.z) - 0.96, 0.0);
    skin = smin(skin, lip + 0.012, 0.05 * smoothstep(1.25, 0.8, abs(mouth.z)) + 1e-3);
    float open_ = max(max(p.y - mouth.x, mouth.y - p.y), 0.42 - p.z) * 0.75;
    open_ = max(open_, abs(p.x) - uMouth.x);
    skin = smax(skin, -open_, 0.018);
    what = SKIN;
    float d = skin;
    // Lashes: a ridge on the upper lid's edge, thicker to the outer corner.
    float lashX = clamp((e.x + 0.25) / 0.52, 0.0, 1.0);
    float lashR = 0.004 + 0.017 * lashX * lashX * (1.0 - smoothstep(0.93, 1.02, lashX));
    float lashY = edge.x + 0.006 + 0.02 * lashX * lashX * lashX;
    float lash = length(vec2(e.y - lashY, length(e) - EYE_R - 0.034)) - lashR;
    lash = max(max(lash, abs(e.x) - 0.272), -e.z) * 0.8;
    if (lash < d) { d = lash; what = LASH; }
    if (ball < d) { d = ball; what = EYEBALL; }
    float arc = length(vec2(p.x, p.z - 0.44)) - 0.34;
    float up = smax(abs(arc) - 0.035, abs(p.y - MOUTH_Y - 0.045) - 0.075, 0.03);
    float down = smax(abs(arc + 0.03) - 0.035, abs(p.y - MOUTH_Y + uJaw + 0.160) - 0.06, 0.03);
    float teeth = max(min(up, down), 0.45 - p.z);
    if (teeth < d) { d = teeth; what = TEETH; }
    float tongue = ellipsoid(p - vec3(0.0, mix(MOUTH_Y - 0.075 - uJaw, MOUTH_Y, uTongue),
                                      0.50 + 0.05 * uTongue), vec3(0.21, 0.085, 0.26));
    if (tongue < d) { d = tongue; what = TONGUE; }
    float a = strand(p);
    float locks = hair(p, a);
    float tips = smoothstep(0.3, -1.0, p.y);
    float away = smoothstep(0.02, 0.50, length(p - CROWN));
    locks -= away * ((0.034 + 0.04 * tips) * (noise1(a * 9.0 + 40.0) - 0.5)
                     + 0.018 * (noise1(a * 31.0) - 0.5));
    locks *= 0.78;
    if (locks < d) { d = locks; what = HAIR; }
    return d;
}

float torso(vec3 p, out int what) {
    p -= uTorsoShift;
    float lift = mix(uShoulder.x, uShoulder.y, smoothstep(-0.8, 0.8, p.x));
    float ax = sqrt(p.x * p.x + 0.03);
    vec3 m = vec3(ax, p.y - lift * smoothstep(0.3, 1.2, ax), p.z);
    float d = cone(m, vec3(0.0, -1.93, -0.32), vec3(1.08, -2.34, -0.34), 0.36, 0.42);
    d = smin(d, cone(m, vec3(1.12, -2.42, -0.32), vec3(1.52, -4.1, -0.05), 0.40, 0.36), 0.22);
    float puff = 0.035 * uBreath;
    d = smin(d, ellipsoid(m - vec3(0.0, -2.95, -0.25), vec3(1.12 + puff, 1.12, 0.74 + puff)), 0.35);
    d = smin(d, ellipsoid(m - vec3(0.42, -3.15, 0.12), vec3(0.46, 0.50, 0.34 + puff)), 0.35);
    // Folds that run from the armpit, and a slow unevenness of the cloth.
    float fold = sin(14.0 * (m.y * 0.75 + m.x * 0.85) + 3.0 * sin(m.x * 2.1 + p.x))
                 * smoothstep(-2.35, -2.9, m.y) * smoothstep(0.55, 1.05, m.x)
                 * smoothstep(1.75, 1.25, m.x);
    d -= 0.016 * fold + 0.02 * sin(p.x * 2.7 + 1.3) * sin(p.y * 3.1 + p.x) * 0.6;
    what = CLOTH;
    // Rolled collar.
    vec3 c = p - vec3(0.0, -1.60, -0.24);
    c.y -= 0.20 * -c.z * 0.9;
    float ring = length(c.xz * vec2(1.0, 1.05));
    float roll = length(vec2(ring - 0.545 + 0.10 * c.y, max(abs(c.y) - 0.115, 0.0))) - 0.095;
    float a = atan(c.x, c.z);
    roll -= 0.007 * cos(a * 60.0);
    roll *= 0.85;
    if (roll < d) what = COLLAR;
    return smin(d, roll, 0.045);
}

float hands(vec3 p, out int what) {
    // Far from a hand the ball round it is near enough, and its bones are left out. The limit is
    // beyond the reach of the occlusion samples, which would show the step.
    const float REACH = 0.6;
    float ballA = length(p - uBallA.xyz) - uBallA.w, ballB = length(p - uBallB.xyz) - uBallB.w;
    int first = ballA > REACH ? BONES_PER_HAND : 0;
    int last = ballB > REACH ? min(uBones, BONES_PER_HAND) : uBones;
    float skin = 10.0, cloth = 10.0;
    for (int i = first; i < last; i++) {
        vec4 a = uBoneA[i], b = uBoneB[i];
        float d = cone(p, a.xyz, b.xyz, abs(a.w), abs(b.w));
        // Broad bones melt into a palm; finger bones keep their joints slim.
        if (a.w < 0.0) cloth = smin(cloth, d, 0.05);
        else skin = smin(skin, d, mix(0.018, 0.085, smoothstep(0.092, 0.104, b.w)));
    }
    what = skin < cloth ? PALM : CLOTH;
    float d = min(skin, cloth);
    if (ballA > REACH) d = min(d, ballA);
    if (ballB > REACH) d = min(d, ballB);
    return d;
}

float map(vec3 p, out int what) {
    vec3 h = toHead(p);
    float d = head(h, what);
    // The neck follows the head above and the torso below.
    vec3 top = uHeadTurn * (vec3(0.0, -0.70, -0.22) - PIVOT) + uHeadShift;
    vec3 base = vec3(0.0, -1.95, -0.36) + uTorsoShift;
    float neck = cone(p, top, base, 0.39, 0.42);
    if (what == SKIN) d = smin(d, neck, 0.10);
    else if (neck < d) { d = neck; what = SKIN; }
    int kind;
    float t = torso(p, kind);
    if (t < d) { d = t; what = kind; }
    if (uBones > 0) {
        float g = hands(p, kind);
        if (g < d) { d = g; what = kind; }
    }
    return d;
}
