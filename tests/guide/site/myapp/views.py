from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.contrib.auth.decorators import login_required
from django.views.decorators.http import require_POST
from .tasks import (
    send_welcome_email, 
    process_user_data, 
    batch_process_posts,
    data_migration_task,
    file_processing_task
)
import json

@require_POST
@login_required
def send_welcome_email_view(request):
    """Enqueue welcome email task."""
    user_id = request.POST.get('user_id')
    
    if not user_id:
        return JsonResponse({'error': 'User ID required'}, status=400)
    
    # Enqueue task
    task_result = send_welcome_email.delay(user_id)
    
    return JsonResponse({
        'task_id': task_result.id,
        'status': 'queued',
        'message': 'Welcome email task queued successfully'
    })

@require_POST
@login_required
def update_user_profile_view(request):
    """Enqueue user profile update task."""
    try:
        data = json.loads(request.body)
        user_id = data.get('user_id')
        updates = data.get('updates', {})
        
        if not user_id:
            return JsonResponse({'error': 'User ID required'}, status=400)
        
        # Enqueue task with priority
        task_result = process_user_data.apply_async(
            args=[user_id, updates],
            priority=5,  # Higher priority
            countdown=10  # Delay execution by 10 seconds
        )
        
        return JsonResponse({
            'task_id': task_result.id,
            'status': 'queued',
            'message': 'User profile update queued'
        })
    
    except json.JSONDecodeError:
        return JsonResponse({'error': 'Invalid JSON'}, status=400)

@require_POST
@login_required
def batch_publish_posts_view(request):
    """Enqueue batch post publishing task."""
    try:
        data = json.loads(request.body)
        post_ids = data.get('post_ids', [])
        
        if not post_ids:
            return JsonResponse({'error': 'Post IDs required'}, status=400)
        
        # Enqueue batch task
        task_result = batch_process_posts.delay(
            post_ids, 
            'publish'
        )
        
        return JsonResponse({
            'task_id': task_result.id,
            'status': 'queued',
            'total_posts': len(post_ids),
            'message': 'Batch publish task queued'
        })
    
    except json.JSONDecodeError:
        return JsonResponse({'error': 'Invalid JSON'}, status=400)

def start_data_migration_view(request):
    """Start data migration task."""
    migration_type = request.GET.get('type', 'user_profiles')
    batch_size = int(request.GET.get('batch_size', 1000))
    
    # Enqueue migration task
    task_result = data_migration_task.delay(
        migration_type=migration_type,
        batch_size=batch_size
    )
    
    return JsonResponse({
        'task_id': task_result.id,
        'migration_type': migration_type,
        'batch_size': batch_size,
        'status': 'started'
    })

@require_POST
def process_uploaded_file_view(request):
    """Process uploaded file."""
    uploaded_file = request.FILES.get('file')
    processing_type = request.POST.get('processing_type', 'image_resize')
    
    if not uploaded_file:
        return JsonResponse({'error': 'No file uploaded'}, status=400)
    
    # Save uploaded file
    import os
    from django.conf import settings
    
    upload_dir = os.path.join(settings.MEDIA_ROOT, 'uploads')
    os.makedirs(upload_dir, exist_ok=True)
    
    file_path = os.path.join(upload_dir, uploaded_file.name)
    
    with open(file_path, 'wb+') as destination:
        for chunk in uploaded_file.chunks():
            destination.write(chunk)
    
    # Enqueue processing task
    options = {}
    if processing_type == 'image_resize':
        options = {
            'width': int(request.POST.get('width', 800)),
            'height': int(request.POST.get('height', 600))
        }
    elif processing_type == 'image_optimize':
        options = {
            'quality': int(request.POST.get('quality', 85))
        }
    
    task_result = file_processing_task.delay(
        file_path=file_path,
        processing_type=processing_type,
        **options
    )
    
    return JsonResponse({
        'task_id': task_result.id,
        'file_name': uploaded_file.name,
        'processing_type': processing_type,
        'status': 'queued'
    })
